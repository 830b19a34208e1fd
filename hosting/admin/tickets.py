"""Maintenance tickets in the admin: open, write to, move; a status moves by actions alone."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldBooleanSwitchWidget

from accounts.access import actor
from accounts.models import User
from accounts.roles import STAFF_ROLES
from hosting import tickets
from hosting.admin.filters import SiteFilter
from hosting.models import MaintenanceTicket, Miner, TicketComment, TicketPart
from hosting.states import Fault, TicketStatus
from minefarm.lib.records import FarmAdmin, column

STATUS_LABELS = {
    TicketStatus.OPEN: "danger",
    TicketStatus.IN_PROGRESS: "info",
    TicketStatus.WAITING_PARTS: "warning",
    TicketStatus.RMA_SENT: "warning",
    TicketStatus.RESOLVED: "success",
    TicketStatus.CLOSED: "default",
}


class CommentInline(TabularInline):
    model = TicketComment
    extra = 1
    fields = ("text", "internal", "author", "created_at")
    readonly_fields = ("author", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PartInline(TabularInline):
    model = TicketPart
    extra = 1
    fields = ("name", "quantity")


class TicketForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    take_out = forms.BooleanField(
        required=False,
        initial=True,
        label="Put into maintenance",
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Until the ticket is resolved.",
    )


@admin.register(MaintenanceTicket)
class TicketAdmin(FarmAdmin):
    form = TicketForm
    list_display = ("number", "title", "miner", "site", "status_label", "fault", "rma_number", "starts_at", "ends_at")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("fault", ChoicesDropdownFilter),
        ("miner__site", SiteFilter),
    )
    list_select_related = ("miner__site",)
    search_fields = ("title", "rma_number", "miner__serial_number")
    search_help_text = "Title, RMA number or serial"
    autocomplete_fields = ("miner",)
    readonly_fields = ("status", "client", "opened_at", "opened_by", "closed_at")
    inlines = (CommentInline, PartInline)
    actions = ("to_in_progress", "to_waiting_parts", "to_rma_sent", "to_resolved", "to_closed")
    fieldsets = (
        (None, {"fields": ("miner", "title", "status", "fault", "assigned_to")}),
        ("Time without the machine", {"fields": ("starts_at", "ends_at")}),
        ("Sent away", {"fields": ("rma_number", "rma_vendor")}),
        ("Record", {"fields": ("client", "opened_at", "opened_by", "closed_at")}),
    )
    add_fieldsets = ((None, {"fields": ("miner", "title", "fault", "assigned_to", "starts_at", "take_out")}),)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MaintenanceTicket]":
        return MaintenanceTicket.objects.for_user(actor(request))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "miner") if obj else self.readonly_fields

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "miner":
            kwargs["queryset"] = Miner.objects.for_user(actor(request)).in_service()
        if db_field.name == "assigned_to":
            kwargs["queryset"] = User.objects.filter(role__in=STAFF_ROLES)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @column("no.", ordering="pk")
    def number(self, ticket: MaintenanceTicket) -> str:
        return f"#{ticket.pk}"

    @column("site", ordering="miner__site__name")
    def site(self, ticket: MaintenanceTicket) -> str:
        return str(ticket.miner.site or "–")

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, ticket: MaintenanceTicket) -> tuple[str, str]:
        return ticket.status, ticket.get_status_display()

    def save_model(self, request: HttpRequest, obj: MaintenanceTicket, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=[*form.changed_data, "updated_at"] if form.changed_data else ["updated_at"])
            return
        opened = tickets.open_ticket(
            obj.miner,
            obj.title,
            fault=Fault(obj.fault),
            starts_at=obj.starts_at,
            assigned_to=obj.assigned_to,
            take_out=form.cleaned_data["take_out"],
            by=actor(request),
        )
        obj.__dict__.update(opened.__dict__)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.save(commit=False):
            if isinstance(row, TicketComment) and row.author_id is None:
                row.author = actor(request)
            row.save()
        for row in formset.deleted_objects:
            row.delete()

    @admin.action(description="Take up: in progress", permissions=["change"])
    def to_in_progress(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]") -> None:
        self._move(request, queryset, TicketStatus.IN_PROGRESS)

    @admin.action(description="Wait for parts", permissions=["change"])
    def to_waiting_parts(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]") -> None:
        self._move(request, queryset, TicketStatus.WAITING_PARTS)

    @admin.action(description="Sent to the vendor (needs the RMA number)", permissions=["change"])
    def to_rma_sent(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]") -> None:
        self._move(request, queryset, TicketStatus.RMA_SENT)

    @admin.action(description="Resolve: the machine works", permissions=["change"])
    def to_resolved(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]") -> None:
        self._move(request, queryset, TicketStatus.RESOLVED)

    @admin.action(description="Close for good", permissions=["change"])
    def to_closed(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]") -> None:
        self._move(request, queryset, TicketStatus.CLOSED)

    def _move(self, request: HttpRequest, queryset: "QuerySet[MaintenanceTicket]", to: TicketStatus) -> None:
        moved = 0
        for ticket in queryset.order_by("pk"):
            try:
                tickets.move_ticket(ticket, to, by=actor(request))
            except tickets.IllegalTicketMove as refusal:
                messages.warning(request, str(refusal))
            else:
                moved += 1
        if moved:
            messages.success(
                request, f"{moved} ticket{'' if moved == 1 else 's'} {TicketStatus(to).label.lower()} now."
            )
