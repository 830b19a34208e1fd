"""Plans in the admin: a list to look at, and the same acts as everywhere with the same refusals."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.stepup import step_up_required
from curtailment.lifecycle import approve_plan, cancel_plan
from curtailment.models import CurtailmentPlan
from curtailment.overrides import restore_now
from curtailment.refusals import REFUSED
from hosting.admin.filters import SiteFilter
from minefarm.lib.records import RecordAdmin, column

STATUS_LABELS = {
    "pending": "warning",
    "approved": "info",
    "executing": "danger",
    "executed": "danger",
    "cancelled": "default",
}
RECOVERY_LABELS = {
    "none": "default",
    "scheduled": "info",
    "recovering": "warning",
    "incomplete": "danger",
    "recovered": "success",
}
Plans = QuerySet[CurtailmentPlan]


class ActForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget(), help_text="Why, for the trail.")
    # What the page showed: of each plan its version and hash.
    shown = forms.CharField(widget=forms.HiddenInput, required=False, max_length=20_000)


@admin.register(CurtailmentPlan)
class CurtailmentPlanAdmin(RecordAdmin):
    list_display = (
        *("live_page", "site", "status_shown", "recovery_shown", "priority", "target_power_reduction"),
        *("miners_affected", "scheduled_time", "recovery_time", "created_by"),
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("recovery_state", ChoicesDropdownFilter),
        ("plan_type", ChoicesDropdownFilter),
        ("priority", ChoicesDropdownFilter),
        ("site", SiteFilter),
        ("scheduled_time", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_select_related = ("site", "created_by")
    search_fields = ("reason", "=id")
    search_help_text = "Reason or number"
    exclude = ("idempotency_key", "preview")
    actions = ("approve", "cancel", "restore")

    def get_queryset(self, request: HttpRequest) -> "Plans":
        return CurtailmentPlan.objects.for_user(actor(request)).select_related("site", "created_by")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("curtailment:view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor(request).may("curtailment:view")

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("curtailment:approve")

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("curtailment:stop")

    def has_override_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("curtailment:override")

    @column("plan", ordering="pk")
    def live_page(self, plan: CurtailmentPlan) -> str:
        return format_html('<a href="{}">Plan {}: look</a>', reverse("curtailment:plan", args=[plan.pk]), plan.pk)

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_shown(self, plan: CurtailmentPlan) -> tuple[str, str]:
        return plan.status, plan.get_status_display()

    @column("way back", ordering="recovery_state", label=RECOVERY_LABELS)
    def recovery_shown(self, plan: CurtailmentPlan) -> tuple[str, str]:
        return plan.recovery_state, plan.get_recovery_state_display()

    @admin.action(description="Approve…", permissions=["approve"])
    @step_up_required
    def approve(self, request: HttpRequest, queryset: "Plans") -> HttpResponse | None:
        def work(plan: CurtailmentPlan, form: ActForm) -> None:
            shown = dict(part.split("=", 1) for part in form.cleaned_data["shown"].split() if "=" in part)
            version, _, content = shown.get(str(plan.pk), "0:").partition(":")
            reason = form.cleaned_data["reason"]
            number = int(version) if version.isascii() and version.isdecimal() else 0
            approve_plan(plan, version=number, content_hash=content, reason=reason, by=actor(request))

        return self._act(request, queryset, "approve", "Approve", work)

    @admin.action(description="Cancel…", permissions=["stop"])
    @step_up_required
    def cancel(self, request: HttpRequest, queryset: "Plans") -> HttpResponse | None:
        def work(plan: CurtailmentPlan, form: ActForm) -> None:
            cancel_plan(plan, reason=form.cleaned_data["reason"], by=actor(request))

        return self._act(request, queryset, "cancel", "Cancel", work)

    @admin.action(description="Restore now…", permissions=["override"])
    @step_up_required
    def restore(self, request: HttpRequest, queryset: "Plans") -> HttpResponse | None:
        def work(plan: CurtailmentPlan, form: ActForm) -> None:
            restore_now(plan, reason=form.cleaned_data["reason"], by=actor(request))

        return self._act(request, queryset, "restore", "Restore", work)

    def _act(
        self,
        request: HttpRequest,
        queryset: "Plans",
        action: str,
        verb: str,
        work: Callable[[CurtailmentPlan, ActForm], None],
    ) -> HttpResponse | None:
        """Ask for the reason first; then each plan by itself, so that one refusal stops no other."""
        plans = list(queryset.order_by("pk"))
        shown = " ".join(f"{plan.pk}={plan.version}:{plan.content_hash}" for plan in plans)
        form = ActForm(request.POST if "confirmed" in request.POST else None, initial={"shown": shown})
        if not form.is_valid():
            return TemplateResponse(
                request,
                "admin/curtailment/act.html",
                {
                    **self.admin_site.each_context(request),
                    "opts": self.model._meta,  # noqa: SLF001  what Django's own templates take
                    "title": f"{verb} {len(plans)} plan{'' if len(plans) == 1 else 's'}",
                    "form": form,
                    "plans": plans,
                    "action": action,
                    "verb": verb,
                    "checkbox": ACTION_CHECKBOX_NAME,
                },
            )
        done = 0
        for plan in plans:
            try:
                work(plan, form)
            except REFUSED as refusal:
                messages.warning(request, f"Plan {plan.pk}: {refusal}")
            else:
                done += 1
        if done:
            messages.success(request, f"{verb}: done for {done} plan{'' if done == 1 else 's'}.")
        return None
