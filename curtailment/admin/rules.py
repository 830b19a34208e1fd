"""Rules, sources and their signals in the admin, to look at and to disarm; the rules' own pages try, arm and edit them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.access import actor
from curtailment.arming import disarm
from curtailment.models import CurtailmentRule, Signal, SignalSource
from curtailment.refusals import REFUSED
from hosting.admin.filters import SiteFilter
from minefarm.lib.records import GrowingRecordAdmin, RecordAdmin, column


class StaffRecords(RecordAdmin):
    """Rows of the sites that one reaches."""

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows: QuerySet[Any] = self.model.objects.for_user(actor(request))
        return rows


@admin.register(CurtailmentRule)
class CurtailmentRuleAdmin(StaffRecords):
    list_display = (
        *("page", "site", "kind", "armed_shown", "priority", "target", "last_evaluated_at", "last_result"),
        *("edited_by", "armed_by"),
    )
    list_filter = (
        "armed",
        ("kind", ChoicesDropdownFilter),
        ("priority", ChoicesDropdownFilter),
        ("site", SiteFilter),
    )
    list_filter_submit = True
    list_select_related = ("site", "edited_by", "armed_by")
    search_fields = ("name",)
    search_help_text = "Name"
    fields = (
        *("name", "site", "kind", "settings", "source", "priority", "strategy", "target_mw", "share_percent"),
        *("min_on_minutes", "min_off_minutes", "cool_down_minutes", "max_minutes", "version", "content_hash"),
        *("edited_by", "edited_at", "tried_at", "armed", "armed_by", "armed_at", "last_evaluated_at", "last_result"),
    )
    actions = ("disarm",)

    def has_disarm_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("curtailment:stop")

    @column("rule", ordering="name")
    def page(self, rule: CurtailmentRule) -> str:
        return format_html('<a href="{}">{}: look</a>', reverse("rules:rule", args=[rule.pk]), rule.name)

    @column("armed", ordering="armed", label={"armed": "danger", "not armed": "default"})
    def armed_shown(self, rule: CurtailmentRule) -> str:
        return "armed" if rule.armed else "not armed"

    @column("target")
    def target(self, rule: CurtailmentRule) -> str:
        if rule.target_mw is not None:
            return f"{rule.target_mw.normalize():f} MW"
        return "all that may stop" if rule.share_percent is None else f"{rule.share_percent.normalize():f} %"

    @admin.action(description="Disarm", permissions=["disarm"])
    def disarm(self, request: HttpRequest, queryset: "QuerySet[CurtailmentRule]") -> None:
        done = 0
        for rule in queryset.select_related("site").order_by("pk"):
            try:
                done += disarm(rule, why="in the admin", by=actor(request))
            except REFUSED as refusal:
                messages.warning(request, f"{rule}: {refusal}")
        messages.success(request, f"{done} rule{'' if done == 1 else 's'} disarmed.")


@admin.register(SignalSource)
class SignalSourceAdmin(StaffRecords):
    """Neither the digest of its token nor its sealed secret is shown."""

    list_display = ("page", "site", "token_prefix", "silent_after_s", "fail_safe", "last_heard_at", "silent_since")
    list_filter = (("fail_safe", ChoicesDropdownFilter), ("site", SiteFilter))
    list_filter_submit = True
    list_select_related = ("site",)
    search_fields = ("name",)
    search_help_text = "Name"
    fields = (
        *("name", "site", "token_prefix", "silent_after_s", "fail_safe", "override", "override_until"),
        *("overridden_by", "last_heard_at", "silent_since", "disabled_at", "created_by", "created_at"),
    )

    @column("source", ordering="name")
    def page(self, source: SignalSource) -> str:
        return format_html('<a href="{}">{}: look</a>', reverse("rules:source", args=[source.pk]), source.name)


@admin.register(Signal)
class SignalAdmin(StaffRecords, GrowingRecordAdmin):
    list_display = ("received_at", "source", "site", "kind", "level", "mw", "starts_at", "ends_at", "door", "result")
    list_filter = (("kind", ChoicesDropdownFilter), ("site", SiteFilter), ("received_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("source", "site")
    search_fields = ("=external_id",)
    search_help_text = "The source's own name for the message, whole"
