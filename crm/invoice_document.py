"""What is printed: an issued invoice as plain values, gathered from what is stored and from nothing else."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from crm.models import Invoice, UsageDay


@dataclass(frozen=True, slots=True)
class PrintedLine:
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Printed:
    """One invoice or credit note; `days` are the energy of each day, None where nothing is known."""

    number: str
    is_credit_note: bool
    reverses: str
    currency: str
    issue_date: date
    due_date: date
    period_start: date | None
    period_end: date | None
    bill_to: dict[str, str]
    seller: dict[str, Any]
    lines: tuple[PrintedLine, ...]
    net: Decimal
    tax: Decimal
    tax_pct: Decimal
    amount: Decimal
    notes: str = ""
    days: tuple[tuple[date, Decimal | None], ...] = ()
    logo: bytes | None = None


def printed(invoice: Invoice, *, logo: bytes | None = None) -> Printed:
    """Three queries. A draft is printed as of today, for a look at it."""
    lines = invoice.lines.order_by("position")
    days = UsageDay.objects.filter(snapshot=invoice.snapshot_id).values_list("day").annotate(Sum("kwh")).order_by("day")
    shown = invoice.issue_date or invoice.created_at.date()
    return Printed(
        number=invoice.invoice_number if invoice.issue_date else "DRAFT",
        is_credit_note=invoice.kind == "credit_note",
        reverses=invoice.reverses.invoice_number if invoice.reverses else "",
        currency=invoice.currency,
        issue_date=shown,
        due_date=invoice.due_date or shown,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        bill_to=invoice.bill_to,
        seller=invoice.seller,
        lines=tuple(
            PrintedLine(line.description, line.quantity, line.unit, line.unit_price, line.amount) for line in lines
        ),
        net=invoice.net,
        tax=invoice.tax,
        tax_pct=invoice.tax_pct,
        amount=invoice.amount,
        notes=invoice.notes,
        days=tuple(days) if invoice.snapshot_id else (),
        logo=logo,
    )
