"""Alert rules and maintenance windows, which staff write, and the history of alerts, which they read."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.access import actor
from hosting.admin.filters import SiteFilter
from hosting.models import Alert, AlertRule, MaintenanceWindow, Miner, Site
from minefarm.lib.records import UNKNOWN, FarmAdmin, GrowingRecordAdmin, column

SEVERITY_LABELS = {"critical": "danger", "warning": "warning", "info": "info"}
STATE_LABELS = {"open": "danger", "acknowledged": "warning", "resolved": "success"}


@admin.register(AlertRule)
class AlertRuleAdmin(FarmAdmin):
    list_display = ("kind_shown", "severity_shown", "site", "miner_model", "threshold", "minutes", "enabled")
    list_filter = ("enabled", ("kind", ChoicesDropdownFilter))
    list_select_related = ("site", "miner_model")
    fields = (
        "kind",
        "severity",
        "site",
        "miner_model",
        "threshold",
        "expected",
        "minutes",
        "cooldown_minutes",
        "enabled",
    )

    @column("kind", ordering="kind")
    def kind_shown(self, rule: AlertRule) -> str:
        return rule.get_kind_display()

    @column("severity", ordering="severity", label=SEVERITY_LABELS)
    def severity_shown(self, rule: AlertRule) -> tuple[str, str]:
        return rule.severity, rule.get_severity_display()


class WindowForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = MaintenanceWindow
        fields = ("site", "miners", "starts_at", "ends_at", "reason")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        site, miners = cleaned.get("site"), cleaned.get("miners")
        if site and miners and any(miner.site_id != site.pk for miner in miners):
            self.add_error("miners", f"Choose machines that stand at {site}, or none for the whole site.")
        return cleaned


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(FarmAdmin):
    form = WindowForm
    list_display = ("site", "starts_at", "ends_at", "reason", "created_by")
    list_filter = (("site", SiteFilter),)
    list_select_related = ("site", "created_by")
    autocomplete_fields = ("miners",)
    readonly_fields = ("created_by",)
    fields = ("site", "miners", "starts_at", "ends_at", "reason", "created_by")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MaintenanceWindow]":
        return MaintenanceWindow.objects.for_user(actor(request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "site":
            kwargs["queryset"] = Site.objects.for_user(actor(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "miners":
            kwargs["queryset"] = Miner.objects.for_user(actor(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: MaintenanceWindow, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = actor(request)
        super().save_model(request, obj, form, change)


@admin.register(Alert)
class AlertAdmin(GrowingRecordAdmin):
    list_display = (
        *("opened_at", "kind_shown", "severity_shown", "state_shown", "site", "machine", "evidence", "resolved_at"),
        "acknowledged_by",
    )
    list_filter = (
        ("opened_at", RangeDateTimeFilter),
        ("kind", ChoicesDropdownFilter),
        ("severity", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        ("site", SiteFilter),
    )
    list_filter_submit = True
    list_select_related = ("site", "miner", "acknowledged_by")
    search_fields = ("miner__serial_number",)
    search_help_text = "Serial number"
    ordering = ("-opened_at", "-id")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Alert]":
        return Alert.objects.for_user(actor(request))

    @column("kind", ordering="kind")
    def kind_shown(self, alert: Alert) -> str:
        return alert.get_kind_display()

    @column("severity", ordering="severity", label=SEVERITY_LABELS)
    def severity_shown(self, alert: Alert) -> tuple[str, str]:
        return alert.severity, alert.get_severity_display()

    @column("state", ordering="state", label=STATE_LABELS)
    def state_shown(self, alert: Alert) -> tuple[str, str]:
        return alert.state, alert.get_state_display()

    @column("machine", ordering="miner__serial_number")
    def machine(self, alert: Alert) -> str:
        return str(alert.miner) if alert.miner else f"{alert.machines or UNKNOWN} machines"
