"""Invoices in the admin: drafts are written here; what was issued is looked at, paid, credited, mailed again."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib import admin, messages
from django.db.models import Q, QuerySet, Sum, TextField
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from crm.admin.invoice_actions import InvoiceActions
from crm.invoice_views import CSV_COLUMNS, csv_row
from crm.invoicing import InvoiceRefused, add_up, delete_draft, lock_draft, next_position, to_cents, today
from crm.models import Invoice, InvoiceLine, Payment
from crm.models.invoices import BY_HAND
from crm.payments import with_balance
from crm.states import InvoiceKind, InvoiceStatus
from hosting.downloads import csv_file
from minefarm.lib.records import UNKNOWN, FarmAdmin, column

STATUS_LABELS = {
    InvoiceStatus.DRAFT: "default",
    InvoiceStatus.SENT: "info",
    InvoiceStatus.PAID: "success",
    InvoiceStatus.OVERDUE: "danger",
}
AGES = (
    ("current", "Not due yet"),
    ("30", "1 to 30 days late"),
    ("60", "31 to 60"),
    ("90", "61 to 90"),
    ("older", "More"),
)
LATE_DAYS = {"30": (1, 30), "60": (31, 60), "90": (61, 90), "older": (91, 36_500)}


def is_draft(invoice: Invoice | None) -> bool:
    return invoice is None or invoice.status == InvoiceStatus.DRAFT


class AgeFilter(admin.SimpleListFilter):
    """Open invoices by how long they have been due."""

    title = "age"
    parameter_name = "age"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> tuple[tuple[str, str], ...]:
        return AGES

    def queryset(self, _request: HttpRequest, queryset: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
        unpaid = queryset.filter(status__in=(InvoiceStatus.SENT, InvoiceStatus.OVERDUE), kind=InvoiceKind.INVOICE)
        if self.value() == "current":
            return unpaid.filter(due_date__gte=today())
        if late := LATE_DAYS.get(str(self.value())):
            first, last = (today() - timedelta(days=days) for days in late)
            return unpaid.filter(due_date__range=(last, first))
        return queryset


class HeldFilter(admin.SimpleListFilter):
    title = "held back"
    parameter_name = "held"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> tuple[tuple[str, str], ...]:
        return (("yes", "Held back"), ("no", "Free to issue"))

    def queryset(self, _request: HttpRequest, queryset: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
        if self.value() in {"yes", "no"}:
            return queryset.filter(status=InvoiceStatus.DRAFT, held_for__isnull=self.value() == "no")
        return queryset


class DraftsAlone(TabularInline):
    """Rows that may be written while the invoice is a draft."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(is_draft(obj) and super().has_add_permission(request, obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(is_draft(obj) and super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(is_draft(obj) and super().has_delete_permission(request, obj))


class LineInline(DraftsAlone):
    model = InvoiceLine
    extra = 0
    fields = ("kind", "description", "quantity", "unit", "unit_price", "amount")
    readonly_fields = ("amount",)
    ordering = ("position",)
    formfield_overrides: Any = {TextField: {"widget": UnfoldAdminTextInputWidget}}


class PaymentInline(TabularInline):
    model = Payment
    extra = 0
    fields = ("received_on", "amount", "method", "reference", "note", "recorded_by")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Invoice)
class InvoiceAdmin(InvoiceActions, FarmAdmin):
    list_display = (
        "number",
        "client",
        "status_label",
        "issue_date",
        "due_date",
        "days_late",
        "asked",
        "open_now",
        "held",
        "file",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        AgeFilter,
        HeldFilter,
        ("issue_date", RangeDateFilter),
    )
    list_filter_submit = True
    list_select_related = ("client",)
    search_fields = ("invoice_number", "client__email", "client__name")
    search_help_text = "Number, or the client's name or e-mail"
    list_before_template = "admin/crm/invoice/totals.html"
    ordering = ("-id",)
    inlines = (LineInline, PaymentInline)
    readonly_fields = (
        *("invoice_number", "kind", "status", "net", "tax", "amount", "open_now", "reverses", "contract_version"),
        *(
            "snapshot",
            "issue_date",
            "due_date",
            "paid_date",
            "mailed_at",
            "issued_by",
            "created_by",
            "content",
            "file",
        ),
    )
    fieldsets = (
        (None, {"fields": ("invoice_number", "kind", "client", "status", "held_for")}),
        ("What it asks for", {"fields": ("currency", "tax_pct", "net", "tax", "amount", "open_now")}),
        (
            "When",
            {"fields": ("period_start", "period_end", "due_days", "issue_date", "due_date", "paid_date", "mailed_at")},
        ),
        ("From", {"fields": ("contract_version", "snapshot", "reverses", "created_by", "issued_by")}),
        ("Printed", {"fields": ("notes", "file", "content")}),
    )
    add_fieldsets = (
        (None, {"fields": ("client", "currency", "tax_pct", "period_start", "period_end", "due_days", "notes")}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Invoice]":
        return with_balance(Invoice.objects.for_user(actor(request)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "client") if obj else self.readonly_fields

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "client":
            kwargs["queryset"] = User.objects.filter(role=Role.CLIENT)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "notes":
            kwargs["widget"] = UnfoldAdminTextareaWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(is_draft(obj) and super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(is_draft(obj) and super().has_delete_permission(request, obj))

    @column("number", ordering="invoice_number")
    def number(self, invoice: Invoice) -> str:
        return f"draft #{invoice.pk}" if is_draft(invoice) else invoice.invoice_number

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, invoice: Invoice) -> tuple[str, str]:
        return invoice.status, invoice.get_status_display()

    @column("days late", ordering="due_date")
    def days_late(self, invoice: Invoice) -> str:
        if invoice.due_date is None or invoice.status not in {InvoiceStatus.SENT, InvoiceStatus.OVERDUE}:
            return UNKNOWN
        return str(max((today() - invoice.due_date).days, 0)) if invoice.kind == InvoiceKind.INVOICE else UNKNOWN

    @column("amount", ordering="amount")
    def asked(self, invoice: Invoice) -> str:
        return f"{invoice.currency} {invoice.amount:,.2f}"

    @column("open", ordering="open_amount")
    def open_now(self, invoice: Any) -> str:
        is_open = invoice.kind == InvoiceKind.INVOICE and not is_draft(invoice)
        return f"{invoice.open_amount:,.2f}" if is_open else UNKNOWN

    @column("held back for", ordering="held_for")
    def held(self, invoice: Invoice) -> str:
        return invoice.held_for or UNKNOWN

    @column("hash of the content")
    def content(self, invoice: Invoice) -> str:
        return f"{invoice.content_hash[:16]}…" if invoice.content_hash else UNKNOWN

    @column("file")
    def file(self, invoice: Invoice) -> SafeString | str:
        if is_draft(invoice):
            return UNKNOWN
        url = reverse("invoices:pdf", args=[invoice.pk])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">PDF</a>', url)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With what the invoices of the list ask for in all, and what of it is open."""
        response: Any = super().changelist_view(request, extra_context)
        if changes := getattr(response, "context_data", {}).get("cl"):
            response.context_data["totals"] = totals(changes.queryset)
        return response  # type: ignore[no-any-return]  # Django's own

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvoiceRefused as refusal:  # somebody issued it while it was being edited
            messages.error(request, str(refusal))
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Invoice, form: Any, change: bool) -> None:
        if change:
            lock_draft(obj)
            obj.held_for = obj.held_for or None
            obj.save(update_fields=form.changed_data)
            return
        obj.invoice_number = f"draft-{uuid4()}"
        obj.amount = obj.net = obj.tax = Decimal(0)
        obj.created_by = actor(request)
        obj.save()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        edited = formset.save(commit=False)
        if formset.model is not InvoiceLine:
            return
        for line in edited:
            line.position = line.position or next_position(form.instance)
            line.amount = to_cents(line.quantity * line.unit_price)
            line.detail = line.detail | BY_HAND
            line.save()
        for line in formset.deleted_objects:
            line.delete()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        add_up(form.instance)

    def delete_model(self, request: HttpRequest, obj: Invoice) -> None:
        delete_draft(obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Invoice]") -> None:
        for invoice in Invoice.objects.filter(pk__in=queryset.values("pk")):
            delete_draft(invoice, by=actor(request))

    @admin.action(description="Export as CSV", permissions=["view"])
    def export(self, _request: HttpRequest, queryset: "QuerySet[Invoice]") -> HttpResponseBase:
        return csv_file("invoices.csv", CSV_COLUMNS, map(csv_row, queryset.iterator(2000)))


def totals(invoices: "QuerySet[Any]") -> list[tuple[str, Decimal, Decimal]]:
    """Currency, asked for and open, of issued invoices and credit notes in the list; added up by PostgreSQL."""
    of_invoices = Sum("open_amount", filter=Q(kind=InvoiceKind.INVOICE), default=Decimal(0))
    issued = invoices.exclude(status=InvoiceStatus.DRAFT).order_by().values("currency")
    sums = issued.annotate(asked=Sum("amount"), left=of_invoices).order_by("currency")
    return list(sums.values_list("currency", "asked", "left"))
