"""Money that came, and what is taken off: payments, credit notes, and what an invoice still asks for.

What is open = the invoice's amount + its credit notes (below zero) - its payments. Nothing open: paid, by whatever way.
Whoever changes that locks the invoice first, so that two payments cannot both be the last one.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import DecimalField, F, Max, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import User
from crm.invoicing import DraftLine, InvoiceRefused, draft_invoice, issue_invoice, tell, to_cents, today
from crm.models import Invoice, Payment
from crm.states import INVOICE_MOVES, InvoiceKind, InvoiceStatus, LineKind

AHEAD = timedelta(days=1)  # where the payer sits it may be tomorrow
ISSUED = (InvoiceStatus.SENT, InvoiceStatus.PAID, InvoiceStatus.OVERDUE)
MONEY: "DecimalField[Decimal, Decimal]" = DecimalField(max_digits=12, decimal_places=2)


def paid(invoice: Invoice) -> Decimal:
    return Payment.objects.filter(invoice=invoice).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def credited(invoice: Invoice) -> Decimal:
    """What issued credit notes take off, above zero."""
    notes = Invoice.objects.filter(reverses=invoice, kind=InvoiceKind.CREDIT_NOTE, status__in=ISSUED)
    return -(notes.aggregate(sum=Sum("amount"))["sum"] or Decimal(0))


def balance(invoice: Invoice) -> Decimal:
    """What is open; below zero when more came than is asked for now, as after a credit note for a paid invoice."""
    if invoice.kind == InvoiceKind.CREDIT_NOTE or invoice.status == InvoiceStatus.DRAFT:
        return Decimal(0)
    return invoice.amount - credited(invoice) - paid(invoice)


def with_balance(invoices: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
    """Invoices with `open_amount`, `paid_amount` and `credited_amount`, in one query."""
    payments = Payment.objects.filter(invoice=OuterRef("pk")).order_by().values("invoice")
    notes = (
        Invoice.objects.filter(reverses=OuterRef("pk"), kind=InvoiceKind.CREDIT_NOTE, status__in=ISSUED)
        .order_by()
        .values("reverses")
    )
    zero = Value(Decimal(0), output_field=MONEY)
    return invoices.annotate(
        paid_amount=Coalesce(Subquery(payments.annotate(sum=Sum("amount")).values("sum")), zero, output_field=MONEY),
        credited_amount=Coalesce(-Subquery(notes.annotate(sum=Sum("amount")).values("sum")), zero, output_field=MONEY),
    ).annotate(open_amount=F("amount") - F("credited_amount") - F("paid_amount"))


@transaction.atomic
def record_payment(
    invoice: Invoice,
    amount: Decimal,
    *,
    received_on: date | None = None,
    method: str = "bank",
    reference: str = "",
    note: str = "",
    by: User | None,
) -> Payment:
    """Enter money that came; below zero, money that went back. Raises InvoiceRefused with what is open.

    The last part makes the invoice paid; one that goes back makes it open again, overdue where its day has passed.
    """
    bill = _locked(invoice)
    if amount != to_cents(amount) or not amount:
        raise InvoiceRefused("Give an amount to the cent, and not zero.")
    open_now, came = balance(bill), paid(bill)
    if amount > 0 and amount > open_now:
        raise InvoiceRefused(
            f"{bill} has {bill.currency} {max(open_now, Decimal(0)):.2f} open: enter no more than that."
        )
    if amount < 0 and -amount > came:
        raise InvoiceRefused(f"{bill.currency} {came:.2f} came for {bill}: no more than that can go back.")
    received_on = received_on or today()
    if received_on > today() + AHEAD:
        raise InvoiceRefused(f"{received_on} is still to come: enter the money once it is there.")
    if reference and Payment.objects.filter(invoice=bill, method=method, reference=reference).exists():
        raise InvoiceRefused(f"The payment {reference} of {bill} was entered already.")
    payment = Payment.objects.create(
        invoice=bill,
        amount=amount,
        received_on=received_on,
        method=method,
        reference=reference,
        note=note,
        recorded_by=by,
    )
    tell(
        "payment.recorded",
        bill,
        payment_id=payment.pk,
        paid=f"{amount:.2f}",
        received_on=received_on.isoformat(),
        balance=f"{open_now - amount:.2f}",
    )
    settle(bill)
    return payment


@transaction.atomic
def credit_invoice(
    invoice: Invoice, *, lines: Sequence[DraftLine] | None = None, reason: str, by: User | None
) -> Invoice:
    """Issue a credit note: the lines given (amounts below zero), or all that was not credited yet.

    Raises InvoiceRefused for more than that. What was paid beyond the new amount is the client's: pay it back by a payment
    below zero.
    """
    bill = _locked(invoice)
    if not reason.strip():
        raise InvoiceRefused("Say why: the reason is printed on the credit note.")
    left = bill.amount - credited(bill)
    if left <= 0:
        raise InvoiceRefused(f"{bill} is credited in full already.")
    chosen, tax = _whole(bill, left) if lines is None else (list(lines), None)
    draft = draft_invoice(
        client=bill.client,
        lines=chosen,
        currency=bill.currency,
        tax_pct=bill.tax_pct,
        tax=tax,
        due_days=0,
        period_start=bill.period_start,
        period_end=bill.period_end,
        contract_version=bill.contract_version,
        deal=bill.deal,
        notes=f"Credit for {bill}: {reason.strip()}",
        kind=InvoiceKind.CREDIT_NOTE,
        reverses=bill,
        by=by,
    )
    if draft.amount >= 0 or -draft.amount > left:
        raise InvoiceRefused(
            f"{bill} has {bill.currency} {left:.2f} left to credit: give amounts from -{left:.2f} to below zero, tax included."
        )
    note = issue_invoice(draft, by=by)
    tell(
        "invoice.credited",
        bill,
        credit_note_id=note.pk,
        credit_note=note.invoice_number,
        credited=f"{-note.amount:.2f}",
        balance=f"{balance(bill):.2f}",
    )
    settle(bill)
    return note


def part_of(bill: Invoice, net: Decimal, description: str) -> list[DraftLine]:
    """One line that takes `net` (above zero, before tax) off."""
    text = description.strip() or f"Part of {bill}"
    return [DraftLine(LineKind.OTHER, text, Decimal(1), "", -net, -net, {"reverses": bill.invoice_number})]


def _whole(bill: Invoice, left: Decimal) -> tuple[list[DraftLine], Decimal]:
    """Lines and tax of a note that leaves nothing: each line of the invoice, or one for what earlier notes have left."""
    earlier = Invoice.objects.filter(reverses=bill, kind=InvoiceKind.CREDIT_NOTE, status__in=ISSUED)
    done = earlier.aggregate(net=Sum("net"))["net"]
    if done is not None:
        net = bill.net + done
        return part_of(bill, net, f"Rest of {bill}"), net - left
    lines = [
        DraftLine(
            LineKind(line.kind),
            line.description,
            line.quantity,
            line.unit,
            -line.unit_price,
            -line.amount,
            {"reverses": f"{bill} line {line.position}"},
        )
        for line in bill.lines.order_by("position")
    ]
    return lines, -bill.tax


def settle(bill: Invoice) -> None:
    """Let the status follow what is open; the invoice is locked by the caller."""
    if balance(bill) <= 0:
        if _move(bill, InvoiceStatus.PAID, paid_date=_settled_on(bill)):
            tell("invoice.paid", bill)
    elif _move(bill, InvoiceStatus.SENT, sources=(InvoiceStatus.PAID,), paid_date=None):
        day = today()
        overdue = Invoice.objects.filter(pk=bill.pk, status=InvoiceStatus.SENT, due_date__lt=day)
        if overdue.update(status=InvoiceStatus.OVERDUE):
            tell("invoice.overdue", bill)


def _settled_on(bill: Invoice) -> date:
    """The day of the last payment or credit note, in whatever order they were entered."""
    money = Payment.objects.filter(invoice=bill).aggregate(day=Max("received_on"))["day"]
    notes = Invoice.objects.filter(reverses=bill, kind=InvoiceKind.CREDIT_NOTE, status__in=ISSUED)
    credit = notes.aggregate(day=Max("issue_date"))["day"]
    return max((day for day in (money, credit) if day), default=today())


def _move(
    bill: Invoice, to: InvoiceStatus, *, sources: tuple[InvoiceStatus, ...] | None = None, paid_date: date | None
) -> bool:
    """One UPDATE from the states that INVOICE_MOVES allows, or fewer."""
    legal = INVOICE_MOVES[to] if sources is None else sources
    return bool(Invoice.objects.filter(pk=bill.pk, status__in=legal).update(status=to, paid_date=paid_date))


def _locked(invoice: Invoice) -> Invoice:
    """The issued invoice, for this transaction alone; raises InvoiceRefused for a draft or a credit note."""
    bill = Invoice.objects.select_for_update(of=("self",), no_key=True).get(pk=invoice.pk)
    if bill.kind == InvoiceKind.CREDIT_NOTE:
        raise InvoiceRefused(f"{bill} is a credit note: payments and credits belong to its invoice.")
    if bill.status == InvoiceStatus.DRAFT:
        raise InvoiceRefused("This is a draft: issue it first.")
    return bill
