"""Numbers are given at issue: 1 to n, whatever fails beside them."""

import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from crm.invoicing import DraftLine, IllegalInvoiceMove, InvoiceHeld, InvoiceRefused, delete_draft, issue_invoice
from crm.models import Invoice, InvoiceCounter, InvoiceLine
from crm.states import LineKind
from events.models import OutboxEvent

pytestmark = pytest.mark.django_db


class PowerCut(Exception):
    pass


@transaction.atomic
def issue_and_fail(bill, by):
    issue_invoice(bill, issue_date=date(2026, 1, 1), by=by)
    raise PowerCut


def test_a_draft_gets_its_number_its_dates_and_its_event_at_issue(draft, admin):
    bill = draft(tax_pct=Decimal(20), due_days=7)
    assert bill.invoice_number.startswith("draft-")
    assert (bill.net, bill.tax, bill.amount) == (Decimal("110.00"), Decimal("22.00"), Decimal("132.00"))
    issued = issue_invoice(bill, issue_date=date(2026, 11, 1), by=admin)
    assert issued.invoice_number == "INV-2026-00001"
    assert (issued.status, issued.due_date, issued.issued_by) == ("sent", date(2026, 11, 8), admin)
    assert issued.bill_to == {"name": "client-a", "email": "client-a@farm.example"}
    assert len(issued.content_hash) == 64
    event = OutboxEvent.objects.get(event_type="invoice.issued")
    assert event.payload["invoice_number"] == "INV-2026-00001"
    assert event.client_id == issued.client_id


def test_each_year_counts_from_one(draft, admin):
    numbers = [
        issue_invoice(draft(), issue_date=date(year, 12, 31), by=admin).invoice_number for year in (2025, 2026, 2025)
    ]
    assert numbers == ["INV-2025-00001", "INV-2026-00001", "INV-2025-00002"]


def test_a_rolled_back_issue_gives_its_number_back(draft, admin):
    with pytest.raises(PowerCut):
        issue_and_fail(draft(), admin)
    assert not InvoiceCounter.objects.exists()
    assert issue_invoice(draft(), issue_date=date(2026, 1, 1), by=admin).invoice_number == "INV-2026-00001"


def test_a_draft_that_is_held_back_is_not_issued(draft, admin):
    bill = draft(held_for="coverage 91 % of A-0001")
    with pytest.raises(InvoiceHeld, match="coverage 91 %"):
        issue_invoice(bill, by=admin)
    bill.refresh_from_db()
    assert bill.status == "draft"
    assert not InvoiceCounter.objects.exists()


def test_a_draft_without_lines_and_one_below_zero_are_refused(draft, admin):
    with pytest.raises(InvoiceRefused, match="no lines"):
        issue_invoice(draft(lines=[]), by=admin)
    less = DraftLine(LineKind.SLA_CREDIT, "Credit", Decimal(1), "", Decimal(-5), Decimal("-5.00"))
    with pytest.raises(InvoiceRefused, match="credit note"):
        issue_invoice(draft(lines=[less]), by=admin)
    assert not InvoiceCounter.objects.exists()


def test_nothing_is_issued_twice_and_what_is_issued_is_not_deleted(issued, admin):
    bill = issued()
    with pytest.raises(IllegalInvoiceMove, match="credit note"):
        issue_invoice(bill, by=admin)
    with pytest.raises(IllegalInvoiceMove, match="credit note"):
        delete_draft(bill, by=admin)
    assert Invoice.objects.get().invoice_number == bill.invoice_number


def test_a_draft_is_deleted_with_its_lines(draft, admin):
    delete_draft(draft(), by=admin)
    assert not Invoice.objects.exists()
    assert not InvoiceLine.objects.exists()


def test_the_date_is_that_of_the_books(draft, admin, settings, monkeypatch):
    settings.INVOICE_TIME_ZONE = "Asia/Tokyo"
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 12, 31, 16, 0, tzinfo=UTC))
    assert issue_invoice(draft(), by=admin).invoice_number == "INV-2027-00001"


@pytest.mark.django_db(transaction=True)
def test_threads_that_issue_and_fail_leave_no_gap(draft, admin):
    """24 invoices in 6 threads; every third transaction is rolled back after it had its number, then tried again."""
    bills = [draft() for _ in range(24)]
    failures = []

    def work(mine):
        try:
            for turn, bill in enumerate(mine):
                if turn % 3 == 0:
                    with pytest.raises(PowerCut):
                        issue_and_fail(bill, admin)
                issue_invoice(bill, issue_date=date(2026, 11, 1), by=admin)
        except Exception as error:  # noqa: BLE001  the main thread reports it
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(bills[start::6],)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    numbers = sorted(Invoice.objects.values_list("invoice_number", flat=True))
    assert numbers == [f"INV-2026-{number:05d}" for number in range(1, 25)]
    assert OutboxEvent.objects.filter(event_type="invoice.issued").count() == 24


@pytest.mark.django_db(transaction=True)
def test_one_draft_is_issued_once_by_two_at_the_same_moment(draft, admin):
    bill = draft()
    results = []

    def work():
        try:
            results.append(issue_invoice(bill, by=admin).invoice_number)
        except IllegalInvoiceMove as refusal:
            results.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([one for one in results if isinstance(one, str)]) == 1
    assert InvoiceCounter.objects.get().last == 1
