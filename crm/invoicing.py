"""Drafting and issuing invoices. What is issued stays: the database's triggers refuse every change but the few that are legal.

The number, the hash of all that is printed and the event `invoice.issued` are written in the transaction that issues: a
number exists exactly when its invoice does, so that there are neither gaps nor repeats. The PDF is made after the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from crm.invoice_content import content_hash
from crm.invoice_files import keep_logo, store_pdf
from crm.models import BillingDetails, ContractVersion, Deal, Invoice, InvoiceLine, UsageSnapshot
from crm.states import InvoiceKind, InvoiceStatus, LineKind
from events.outbox import Fact, publish_many

__all__ = [
    "DraftLine",
    "IllegalInvoiceMove",
    "InvoiceHeld",
    "InvoiceRefused",
    "add_up",
    "delete_draft",
    "draft_invoice",
    "issue_invoice",
    "mail_again",
    "store_pdf",
    "to_cents",
    "today",
]

CENT, MOST = Decimal("0.01"), Decimal(10) ** 10
NEXT_NUMBER = """
INSERT INTO crm_invoice_counters AS known (series, year, last) VALUES (%s, %s, 1)
ON CONFLICT (series, year) DO UPDATE SET last = known.last + 1 RETURNING last
"""


class InvoiceRefused(Exception):
    """What was asked cannot be done with this invoice; nothing was changed. The message says what can."""


class IllegalInvoiceMove(InvoiceRefused):
    """The invoice is in a state from which it cannot go there."""


class InvoiceHeld(InvoiceRefused):
    """The draft has a reason not to be issued yet."""


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line to be; `amount` before tax, to the cent."""

    kind: LineKind
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    detail: dict[str, Any] = field(default_factory=dict)


def to_cents(value: Decimal) -> Decimal:
    """Half to even; raises InvoiceRefused for an amount that no column holds."""
    if abs(value) >= MOST:
        raise InvoiceRefused(f"{value:,.0f} is more than an invoice can hold: look for a slip, or split it.")
    return value.quantize(CENT, rounding=ROUND_HALF_EVEN)


def today() -> date:
    """The date where the farm keeps its books (INVOICE_TIME_ZONE)."""
    return timezone.now().astimezone(ZoneInfo(settings.INVOICE_TIME_ZONE)).date()


@transaction.atomic
def draft_invoice(
    *,
    client: User,
    lines: Sequence[DraftLine],
    currency: str = "USD",
    tax_pct: Decimal = Decimal(0),
    due_days: int = 14,
    period_start: date | None = None,
    period_end: date | None = None,
    contract_version: ContractVersion | None = None,
    snapshot: UsageSnapshot | None = None,
    deal: Deal | None = None,
    notes: str = "",
    held_for: str | None = None,
    kind: InvoiceKind = InvoiceKind.INVOICE,
    reverses: Invoice | None = None,
    tax: Decimal | None = None,
    by: User | None,
) -> Invoice:
    """Write a draft under a place-holder of a number; `tax` overrides what tax_pct of the net comes to."""
    net = sum((line.amount for line in lines), Decimal(0))
    tax = to_cents(net * tax_pct / 100) if tax is None else tax
    invoice = Invoice.objects.create(
        kind=kind,
        client=client,
        deal=deal,
        contract_version=contract_version,
        snapshot=snapshot,
        reverses=reverses,
        invoice_number=f"draft-{uuid4()}",
        currency=currency,
        amount=to_cents(net + tax),
        net=net,
        tax=tax,
        tax_pct=tax_pct,
        period_start=period_start,
        period_end=period_end,
        due_days=due_days,
        notes=notes,
        held_for=held_for or None,
        created_by=by,
    )
    _write_lines(invoice, lines)
    return invoice


def _write_lines(invoice: Invoice, lines: Sequence[DraftLine]) -> None:
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind=line.kind,
            description=line.description,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            amount=line.amount,
            detail=line.detail,
        )
        for position, line in enumerate(lines, start=1)
    )


@transaction.atomic
def add_up(invoice: Invoice) -> Invoice:
    """Compute a draft's totals from the lines that it has now, after somebody edited them."""
    draft = lock_draft(invoice)
    net = sum(draft.lines.values_list("amount", flat=True), Decimal(0))
    tax = to_cents(net * draft.tax_pct / 100)
    Invoice.objects.filter(pk=draft.pk, status=InvoiceStatus.DRAFT).update(net=net, tax=tax, amount=to_cents(net + tax))
    return fresh(invoice)


@transaction.atomic
def delete_draft(invoice: Invoice, *, by: User | None) -> None:  # noqa: ARG001  who did it is the admin's log
    """Throw a draft away with its lines; raises IllegalInvoiceMove for one that was issued."""
    draft = lock_draft(invoice)
    draft.lines.all().delete()
    draft.delete()


def issue_invoice(invoice: Invoice, *, issue_date: date | None = None, by: User | None) -> Invoice:
    """Give a draft its number for ever, and tell the world.

    Raises InvoiceHeld, and IllegalInvoiceMove for what is no draft any more. The mail with the PDF follows by the event.
    """
    with transaction.atomic():
        draft = lock_draft(invoice)
        if draft.held_for:
            raise InvoiceHeld(f"This draft is held back: {draft.held_for}. Settle that and clear the reason first.")
        _check(draft)
        issued_on = issue_date or today()
        values: dict[str, Any] = {
            "issue_date": issued_on,
            "due_date": issued_on + timedelta(days=draft.due_days if draft.kind == InvoiceKind.INVOICE else 0),
            "bill_to": bill_to(draft.client),
            "seller": seller(draft.contract_version),
        }
        for name, value in values.items():
            setattr(draft, name, value)
        # Last before the UPDATE: from here to the commit, whoever issues in this series waits.
        draft.invoice_number = values["invoice_number"] = next_number(InvoiceKind(draft.kind), issued_on.year)
        values["content_hash"] = content_hash(draft)
        values |= {"status": InvoiceStatus.SENT, "issued_by": by, "issued_at": timezone.now()}
        moved = Invoice.objects.filter(pk=draft.pk, status=InvoiceStatus.DRAFT, held_for=None).update(**values)
        if not moved:
            raise IllegalInvoiceMove(f"{draft} is no draft any more: nothing was issued.")
        # The key belongs to the one mail that issuing sends, whatever is published again.
        publish_many("invoice.issued", [fact_of(draft, {"kind": draft.kind}, dedupe_key=f"invoice:{draft.pk}:sent")])
        if not draft.amount:
            _nothing_to_pay(draft, issued_on)
    return fresh(invoice)


def _nothing_to_pay(draft: Invoice, issued_on: date) -> None:
    Invoice.objects.filter(pk=draft.pk, status=InvoiceStatus.SENT).update(
        status=InvoiceStatus.PAID, paid_date=issued_on
    )


def _check(draft: Invoice) -> None:
    """Raises InvoiceRefused for a draft that would be no invoice."""
    lines = list(draft.lines.values_list("amount", flat=True))
    if not lines:
        raise InvoiceRefused("This draft has no lines: add some, or delete it.")
    if sum(lines) != draft.net:
        raise InvoiceRefused("The lines do not add up to the total: save the draft again.")
    if draft.kind == InvoiceKind.INVOICE and draft.amount < 0:
        raise InvoiceRefused("An invoice asks for something: give less than nothing back by a credit note.")
    if draft.kind == InvoiceKind.CREDIT_NOTE and (draft.amount >= 0 or draft.reverses_id is None):
        raise InvoiceRefused("A credit note reverses an invoice, by an amount below zero.")


def next_number(kind: InvoiceKind, year: int) -> str:
    """The series' next number of the year; given back when the transaction is rolled back, so it must issue an invoice."""
    series = settings.CREDIT_NOTE_SERIES if kind == InvoiceKind.CREDIT_NOTE else settings.INVOICE_SERIES
    with connection.cursor() as cursor:
        cursor.execute(NEXT_NUMBER, [series, year])
        (last,) = cursor.fetchone()
    return f"{series}-{year}-{last:05d}"


def bill_to(client: User) -> dict[str, str]:
    """Whom the invoice is for, as of now."""
    details = BillingDetails.objects.filter(client=client).first()
    named = {"name": client.name or client.email, "email": client.email}
    if details:
        named |= {"company": details.company, "address": details.address, "tax_id": details.tax_id}
        named["email"] = details.email or client.email
    return {key: value for key, value in named.items() if value}


def seller(version: ContractVersion | None) -> dict[str, Any]:
    """Who asks for the money, as of now."""
    return {
        "name": settings.COMPANY_NAME,
        "address": list(settings.COMPANY_ADDRESS),
        "tax_id": settings.COMPANY_TAX_ID,
        "bank": list(settings.COMPANY_BANK),
        "terms": (version.terms if version else "") or settings.INVOICE_TERMS,
        "time_zone": settings.INVOICE_TIME_ZONE,
        "logo": keep_logo(),
    }


def lock_draft(invoice: Invoice) -> Invoice:
    """The draft, for this transaction alone; raises IllegalInvoiceMove for one that was issued or deleted."""
    draft = Invoice.objects.select_for_update(of=("self",)).filter(pk=invoice.pk, status=InvoiceStatus.DRAFT).first()
    if draft is None:
        now = Invoice.objects.filter(pk=invoice.pk).first()
        raise IllegalInvoiceMove(
            f"{now} was issued and stays as it is: reverse it by a credit note."
            if now
            else "This draft was deleted meanwhile."
        )
    return draft


def fresh(invoice: Invoice) -> Invoice:
    return Invoice.objects.get(pk=invoice.pk)


def next_position(invoice: Invoice) -> int:
    return (invoice.lines.aggregate(last=Max("position"))["last"] or 0) + 1


def tell(event_type: str, invoice: Invoice, **more: str | int | None) -> None:
    """Publish what happened to an invoice; its client may hear of it."""
    publish_many(event_type, [fact_of(invoice, more)])


def fact_of(invoice: Invoice, more: Mapping[str, object] | None = None, *, dedupe_key: str | None = None) -> Fact:
    """What every event about an invoice says, and more."""
    payload: dict[str, object] = {
        "invoice_id": invoice.pk,
        "invoice_number": invoice.invoice_number,
        "amount": str(invoice.amount),
        "currency": invoice.currency,
        "due_date": invoice.due_date.isoformat() if invoice.due_date else None,
    }
    return Fact(f"invoice:{invoice.pk}", payload | dict(more or {}), invoice.client_id, dedupe_key)


@transaction.atomic
def mail_again(invoice: Invoice, *, by: User | None) -> None:  # noqa: ARG001  who did it is the admin's log
    """Send the mail with the PDF once more; raises IllegalInvoiceMove for a draft."""
    now = fresh(invoice)
    if now.status == InvoiceStatus.DRAFT:
        raise IllegalInvoiceMove("A draft is not mailed: issue it first.")
    tell("invoice.mail_wanted", now)
