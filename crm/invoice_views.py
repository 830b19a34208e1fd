"""Pages about invoices: a customer's own, for staff those of everybody; drafts are looked at in Admin alone."""

import csv
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from accounts.models import User
from crm.invoice_files import PdfDiffers, pdf_bytes
from crm.invoice_usage import USAGE_COLUMNS, days_of, machines_of, usage_rows
from crm.models import Invoice, Payment
from crm.payments import with_balance
from crm.states import InvoiceKind, InvoiceStatus
from events.alerts import alert
from hosting.cells import harmless
from minefarm.lib.rls import aside

A_PAGE = 50
LISTED = (
    "kind",
    "client_id",
    "invoice_number",
    "currency",
    "amount",
    "status",
    "period_start",
    "period_end",
    "issue_date",
    "due_date",
    "paid_date",
    "snapshot_id",
)
READ = (*LISTED, "net", "tax", "tax_pct", "bill_to", "notes", "reverses_id")
SHOWN = {
    "open": (InvoiceStatus.SENT, InvoiceStatus.OVERDUE),
    "overdue": (InvoiceStatus.OVERDUE,),
    "paid": (InvoiceStatus.PAID,),
}
CSV_COLUMNS = (
    "number",
    "kind",
    "status",
    "issue_date",
    "due_date",
    "paid_date",
    "period_start",
    "period_end",
    "currency",
    "amount",
    "open",
)


def issued_to(user: User) -> "QuerySet[Invoice]":
    """Issued invoices that the person may see, newest first."""
    return Invoice.objects.for_user(user).exclude(status=InvoiceStatus.DRAFT).order_by("-issue_date", "-pk")


@require_safe
@permission_required("invoice:view")
def invoice_list(request: HttpRequest) -> HttpResponse:
    user = actor(request)
    shown = request.GET.get("show", "")
    invoices = with_balance(issued_to(user).only(*LISTED))
    wanted = invoices.filter(status__in=SHOWN[shown]) if shown in SHOWN else invoices
    if request.GET.get("as") == "csv":
        return as_csv("invoices.csv", CSV_COLUMNS, (csv_row(invoice) for invoice in wanted))
    if user.is_staff:
        wanted = wanted.select_related("client").only(*LISTED, "client__name", "client__email")
    page = Paginator(wanted, A_PAGE)
    context = {
        "nav": "invoices",
        "page_obj": page.get_page(request.GET.get("page")),
        "show": shown,
        "shows": (("", "All"), ("open", "Open"), ("overdue", "Overdue"), ("paid", "Paid")),
        "open": open_by_currency(invoices),
    }
    return render(request, "crm/invoices.html", context)


def open_by_currency(invoices: "QuerySet[Any]") -> list[tuple[str, Decimal]]:
    """What is open in all, of each currency."""
    sums: dict[str, Decimal] = {}
    for currency, amount in invoices.filter(kind=InvoiceKind.INVOICE).values_list("currency", "open_amount"):
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return sorted(sums.items())


def csv_row(invoice: Any) -> tuple[object, ...]:
    asks = invoice.kind == InvoiceKind.INVOICE and invoice.status != InvoiceStatus.DRAFT
    return (
        invoice.invoice_number,
        invoice.kind,
        invoice.status,
        invoice.issue_date,
        invoice.due_date,
        invoice.paid_date,
        invoice.period_start,
        invoice.period_end,
        invoice.currency,
        invoice.amount,
        invoice.open_amount if asks else None,
    )


@require_safe
@permission_required("invoice:view")
def invoice_detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = actor(request)
    invoice = get_object_or_404(with_balance(issued_to(user).only(*READ)), pk=pk)
    notes = issued_to(user).only(*LISTED)
    context = {
        "nav": "invoices",
        "invoice": invoice,
        "lines": invoice.lines.order_by("position"),
        "payments": Payment.objects.for_user(user)
        .filter(invoice=pk)
        .only("received_on", "method", "reference", "amount", "invoice_id"),
        "credit_notes": notes.filter(reverses=pk),
        "reverses": notes.filter(pk=invoice.reverses_id).first() if invoice.reverses_id else None,
        "machines": machines_of(invoice),
        "days": days_of(invoice),
    }
    return render(request, "crm/invoice.html", context)


@require_safe
@never_cache
@permission_required("invoice:view")
def invoice_pdf(request: HttpRequest, pk: int) -> HttpResponse:
    """The file as it was issued, to keep and not to show: a browser runs nothing of it."""
    invoice = get_object_or_404(issued_to(actor(request)).only("invoice_number", "status"), pk=pk)
    try:
        with aside():  # where the file lies is out of customers' reach
            data = pdf_bytes(invoice)
    except PdfDiffers as trouble:
        alert("invoice files", str(trouble), "A customer or somebody of staff asked for it and got nothing.")
        return HttpResponse("This file is not as it was issued: staff have been told.\n", "text/plain", status=409)
    reply = HttpResponse(data, content_type="application/pdf")
    reply["Content-Disposition"] = content_disposition_header(True, f"{invoice.invoice_number}.pdf")
    reply["X-Content-Type-Options"] = "nosniff"
    return reply


@require_safe
@permission_required("invoice:view")
def invoice_usage(request: HttpRequest, pk: int) -> HttpResponse:
    """Each machine and day behind the lines, as CSV."""
    invoice = get_object_or_404(issued_to(actor(request)).only("invoice_number", "snapshot_id"), pk=pk)
    if invoice.snapshot_id is None:
        raise Http404
    return as_csv(f"{invoice.invoice_number}-usage.csv", USAGE_COLUMNS, usage_rows(invoice))


def as_csv(name: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> HttpResponse:
    """A file that no spreadsheet program takes a formula from; what is not known is empty."""
    reply = HttpResponse(content_type="text/csv; charset=utf-8")
    reply["Content-Disposition"] = content_disposition_header(True, name)
    writer = csv.writer(reply)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return reply


def cell(value: object) -> str:
    """Figures as they are, below zero too; texts made harmless."""
    if value is None:
        return ""
    return str(value) if isinstance(value, Decimal | int) else harmless(str(value))
