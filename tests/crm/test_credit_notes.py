"""A credit note takes back what an invoice asked for, in whole or in part, and never more."""

from decimal import Decimal

import pytest

from crm.invoicing import InvoiceRefused
from crm.models import Invoice
from crm.payments import balance, credit_invoice, part_of, record_payment

pytestmark = pytest.mark.django_db


def test_the_whole_is_reversed_line_by_line(issued, admin):
    bill = issued(tax_pct=Decimal(20))
    note = credit_invoice(bill, reason="wrong month", by=admin)
    assert note.invoice_number.startswith("CN-")
    assert note.invoice_number.endswith("-00001")
    assert (note.net, note.tax, note.amount) == (Decimal("-110.00"), Decimal("-22.00"), Decimal("-132.00"))
    assert [line.amount for line in note.lines.order_by("position")] == [Decimal("-100.00"), Decimal("-10.00")]
    assert note.reverses_id == bill.pk
    assert "wrong month" in note.notes
    bill.refresh_from_db()
    assert (bill.status, balance(bill)) == ("paid", Decimal(0))
    assert bill.lines.count() == 2


def test_parts_with_tax_add_up_to_the_whole_to_the_cent(issued, admin):
    from crm.invoicing import DraftLine
    from crm.states import LineKind

    odd = DraftLine(LineKind.OTHER, "Odd", Decimal(1), "", Decimal("33.33"), Decimal("33.33"))
    bill = issued(lines=[odd], tax_pct=Decimal("8.25"))
    for _ in range(2):
        credit_invoice(bill, lines=part_of(bill, Decimal("11.11"), "a third"), reason="part", by=admin)
    rest = credit_invoice(bill, reason="the rest", by=admin)
    assert rest.net == Decimal("-11.11")
    notes = Invoice.objects.filter(reverses=bill)
    assert sum(note.amount for note in notes) == -bill.amount
    assert sum(note.tax for note in notes) == -bill.tax
    with pytest.raises(InvoiceRefused, match="in full"):
        credit_invoice(bill, reason="once more", by=admin)


def test_never_more_than_is_left(issued, admin):
    bill = issued()
    with pytest.raises(InvoiceRefused, match=r"110\.00 left"):
        credit_invoice(bill, lines=part_of(bill, Decimal("110.01"), ""), reason="too much", by=admin)
    with pytest.raises(InvoiceRefused, match=r"110\.00 left"):
        credit_invoice(bill, lines=part_of(bill, Decimal("-1.00"), ""), reason="the wrong way", by=admin)
    assert Invoice.objects.count() == 1


def test_a_refused_note_uses_no_number(issued, admin):
    bill = issued()
    with pytest.raises(InvoiceRefused):
        credit_invoice(bill, lines=part_of(bill, Decimal(999), ""), reason="too much", by=admin)
    assert credit_invoice(bill, reason="right", by=admin).invoice_number.endswith("-00001")


def test_what_was_paid_beyond_goes_back_by_a_payment(issued, admin):
    bill = issued()
    record_payment(bill, Decimal("110.00"), by=admin)
    credit_invoice(bill, lines=part_of(bill, Decimal("30.00"), "downtime"), reason="downtime", by=admin)
    bill.refresh_from_db()
    assert (bill.status, balance(bill)) == ("paid", Decimal("-30.00"))
    record_payment(bill, Decimal("-30.00"), reference="refund", by=admin)
    bill.refresh_from_db()
    assert (bill.status, balance(bill)) == ("paid", Decimal(0))


def test_notes_themselves_and_drafts_are_not_credited_or_paid(issued, draft, admin):
    note = credit_invoice(issued(), reason="all", by=admin)
    for bill in (note, draft()):
        with pytest.raises(InvoiceRefused):
            credit_invoice(bill, reason="all", by=admin)
        with pytest.raises(InvoiceRefused):
            record_payment(bill, Decimal("1.00"), by=admin)


def test_a_reason_is_asked_for(issued, admin):
    with pytest.raises(InvoiceRefused, match="why"):
        credit_invoice(issued(), reason="  ", by=admin)
