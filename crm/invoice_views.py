"""Pages about invoices: a customer's own, for staff those of everybody; drafts are looked at in Admin alone."""

from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
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
from hosting.downloads import csv_file
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
def invoice_list(request: HttpRequest) -> HttpResponseBase:
    user = actor(request)
    shown = request.GET.get("show", "")
    invoices = with_balance(issued_to(user).only(*LISTED))
    asking = invoices.filter(kind=InvoiceKind.INVOICE)  # a credit note asks for nothing, and stays issued
    wanted = asking.filter(status__in=SHOWN[shown]) if shown in SHOWN else invoices
    if request.GET.get("as") == "csv":
        return csv_file("invoices.csv", CSV_COLUMNS, map(csv_row, wanted.iterator(2000)))
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
    """What is open in all, of each currency; added up by PostgreSQL."""
    bills = invoices.filter(kind=InvoiceKind.INVOICE).order_by().values("currency")
    return list(bills.annotate(left=Sum("open_amount")).order_by("currency").values_list("currency", "left"))


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
def invoice_usage(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Each machine and day behind the lines, as CSV."""
    invoice = get_object_or_404(issued_to(actor(request)).only("invoice_number", "snapshot_id"), pk=pk)
    if invoice.snapshot_id is None:
        raise Http404
    return csv_file(f"{invoice.invoice_number}-usage.csv", USAGE_COLUMNS, usage_rows(invoice))
