"""Leads, deals and activities in the admin: edited here, moved by actions and pages that call the services."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.models import User
from accounts.roles import STAFF_ROLES, Role
from crm.leads import AlreadyConverted, CannotConvert, IllegalLeadMove, assign_lead, convert_lead, move_lead, save_lead
from crm.models import Activity, Deal, DealStageChange, Lead
from crm.states import OPEN_STAGES, PROBABILITIES, DealStage, LeadStatus
from hosting.models import Site
from minefarm.lib.records import FarmAdmin, column

LEAD_LABELS = {
    LeadStatus.NEW: "info",
    LeadStatus.CONTACTED: "warning",
    LeadStatus.QUALIFIED: "warning",
    LeadStatus.CONVERTED: "success",
    LeadStatus.LOST: "danger",
}
STAGE_LABELS = {DealStage.CLOSED_WON: "success", DealStage.CLOSED_LOST: "danger", DealStage.NEGOTIATION: "warning"}


class LostForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget(), label="Why")


class PeopleAdmin(FarmAdmin):
    """Owners are staff, clients are clients."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in {"owner", "assigned_to"}:
            kwargs["queryset"] = User.objects.filter(role__in=STAFF_ROLES)
        if db_field.name == "client":
            kwargs["queryset"] = User.objects.filter(role=Role.CLIENT)
        if db_field.name == "site":
            kwargs["queryset"] = Site.objects.for_user(actor(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Lead)
class LeadAdmin(PeopleAdmin):
    list_display = ("name", "company", "status_label", "score", "wanted_kw", "owner", "follow_up_at", "page")
    list_filter = (("status", ChoicesDropdownFilter), "source")
    list_select_related = ("owner",)
    search_fields = ("name", "company", "email", "phone")
    search_help_text = "Name, company, e-mail or telephone"
    readonly_fields = ("status", "score", "lost_reason", "converted_at", "created_at")
    actions = ("give", "contacted", "qualified", "convert", "lost")
    fieldsets = (
        (None, {"fields": ("name", "company", "email", "phone", "source", "wanted_kw")}),
        ("Work", {"fields": ("owner", "follow_up_at", "status", "score", "lost_reason")}),
        ("Record", {"fields": ("created_at", "converted_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Lead]":
        return Lead.objects.for_user(actor(request))

    @column("status", ordering="status", label=LEAD_LABELS)
    def status_label(self, lead: Lead) -> tuple[str, str]:
        return lead.status, lead.get_status_display()

    @column("page")
    def page(self, lead: Lead) -> SafeString:
        return format_html('<a href="{}">Open</a>', reverse("crm:lead", args=[lead.pk]))

    def save_model(self, request: HttpRequest, obj: Lead, form: Any, change: bool) -> None:
        save_lead(obj, changed=form.changed_data)

    @admin.action(description="Give to whoever has fewest", permissions=["change"])
    def give(self, request: HttpRequest, queryset: "QuerySet[Lead]") -> None:
        self._each(request, queryset, lambda lead: assign_lead(lead, by=actor(request)), "given")

    @admin.action(description="Contacted", permissions=["change"])
    def contacted(self, request: HttpRequest, queryset: "QuerySet[Lead]") -> None:
        self._each(request, queryset, lambda lead: move_lead(lead, LeadStatus.CONTACTED, by=actor(request)), "moved")

    @admin.action(description="Qualified", permissions=["change"])
    def qualified(self, request: HttpRequest, queryset: "QuerySet[Lead]") -> None:
        self._each(request, queryset, lambda lead: move_lead(lead, LeadStatus.QUALIFIED, by=actor(request)), "moved")

    @admin.action(description="Make deals of them", permissions=["change"])
    def convert(self, request: HttpRequest, queryset: "QuerySet[Lead]") -> None:
        self._each(request, queryset, lambda lead: convert_lead(lead, by=actor(request)), "made deals")

    @admin.action(description="Lost…", permissions=["change"])
    def lost(self, request: HttpRequest, queryset: "QuerySet[Lead]") -> HttpResponse | None:
        """Asks why first."""
        form = LostForm(request.POST if "apply" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            self._each(
                request,
                queryset,
                lambda lead: move_lead(lead, LeadStatus.LOST, reason=reason, by=actor(request)),
                "lost",
            )
            return None
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Why were they lost?",
            "opts": self.model._meta,  # noqa: SLF001  the name admin templates know it by
            "form": form,
            "leads": list(queryset[:20]),
            "count": queryset.count(),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/crm/lead/lost.html", context)

    def _each(self, request: HttpRequest, leads: "QuerySet[Lead]", verb: Any, done: str) -> None:
        count = 0
        for lead in leads:
            try:
                verb(lead)
            except (AlreadyConverted, CannotConvert, IllegalLeadMove) as refused:
                self.message_user(request, f"{lead}: {refused}", messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)


class StageInline(TabularInline):
    model = DealStageChange
    extra = 0
    fields = readonly_fields = ("at", "from_stage", "to_stage", "by")
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Deal)
class DealAdmin(PeopleAdmin):
    list_display = (
        "title",
        "stage_label",
        "value",
        "probability",
        "client",
        "site",
        "owner",
        "expected_close_date",
        "page",
    )
    list_filter = (("stage", ChoicesDropdownFilter), "site")
    list_select_related = ("client", "site", "owner")
    search_fields = ("title", "client__email", "client__name")
    search_help_text = "Title or client"
    readonly_fields = ("stage", "lead", "stage_since", "lost_reason", "created_at", "closed_at")
    autocomplete_fields = ("miner_model",)
    inlines = (StageInline,)
    fieldsets = (
        (None, {"fields": ("title", "client", "value", "stage", "probability", "owner", "expected_close_date")}),
        (
            "Hosting",
            {"fields": ("site", "miner_model", "miners", "power_kw", "price_per_kwh", "term_months", "target_date")},
        ),
        ("Money up front", {"fields": ("deposit",)}),
        ("Record", {"fields": ("lead", "stage_since", "lost_reason", "created_at", "closed_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Deal | None = None) -> tuple[str, ...]:
        """A closed deal's probability is that of its stage."""
        closed = obj is not None and obj.stage not in OPEN_STAGES
        return (*self.readonly_fields, "probability") if closed else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Deal]":
        return Deal.objects.for_user(actor(request))

    @column("stage", ordering="stage", label=STAGE_LABELS)
    def stage_label(self, deal: Deal) -> tuple[str, str]:
        return deal.stage, deal.get_stage_display()

    @column("page")
    def page(self, deal: Deal) -> SafeString:
        return format_html('<a href="{}">Open</a>', reverse("crm:deal", args=[deal.pk]))

    def save_model(self, request: HttpRequest, obj: Deal, form: Any, change: bool) -> None:
        if not change:
            obj.probability = obj.probability or PROBABILITIES[DealStage(obj.stage)]
            obj.save()
            DealStageChange.objects.create(deal=obj, to_stage=obj.stage, by=actor(request))
        elif form.changed_data:
            obj.save(update_fields=[*form.changed_data, "updated_at"])  # a stage that moved meanwhile stays


@admin.register(Activity)
class ActivityAdmin(PeopleAdmin):
    list_display = ("subject", "kind", "deal", "lead", "author", "assigned_to", "due_date", "done_at", "happened_at")
    list_filter = (("kind", ChoicesDropdownFilter),)
    list_select_related = ("deal", "lead", "author", "assigned_to")
    search_fields = ("subject", "body")
    search_help_text = "Subject or text"
    readonly_fields = ("author",)
    autocomplete_fields = ("deal", "lead")
    fields = ("kind", "subject", "body", "lead", "deal", "due_date", "assigned_to", "done_at", "happened_at", "author")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Activity]":
        return Activity.objects.for_user(actor(request))

    def save_model(self, request: HttpRequest, obj: Activity, form: Any, change: bool) -> None:
        obj.author = obj.author or actor(request)
        obj.save()
