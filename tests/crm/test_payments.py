"""Money comes in parts, twice, too much, and goes back again."""

import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from crm.invoicing import InvoiceRefused, today
from crm.models import Invoice, Payment
from crm.payments import balance, record_payment, with_balance
from events.models import OutboxEvent

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 20)


def test_the_last_part_makes_it_paid(issued, admin):
    bill = issued(issue_date=today())
    record_payment(bill, Decimal("60.00"), received_on=DAY, by=admin)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_date, balance(bill)) == ("sent", None, Decimal("50.00"))
    record_payment(bill, Decimal("50.00"), received_on=DAY, reference="T2", by=admin)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_date, balance(bill)) == ("paid", DAY, Decimal(0))
    told = OutboxEvent.objects.filter(aggregate_key=f"invoice:{bill.pk}").order_by("id")
    assert [event.event_type for event in told] == [
        "invoice.issued",
        "payment.recorded",
        "payment.recorded",
        "invoice.paid",
    ]
    assert told[2].payload["balance"] == "0.00"


def test_it_was_paid_on_the_day_of_the_last_money_in_whatever_order_it_is_entered(issued, admin):
    bill = issued(issue_date=DAY - timedelta(days=5))
    record_payment(bill, Decimal("60.00"), received_on=DAY, by=admin)
    record_payment(bill, Decimal("50.00"), received_on=DAY - timedelta(days=2), by=admin)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_date) == ("paid", DAY)


def test_no_money_comes_from_the_future(issued, admin):
    """The day may have begun where the payer sits."""
    bill = issued()
    record_payment(bill, Decimal("1.00"), received_on=today() + timedelta(days=1), by=admin)
    with pytest.raises(InvoiceRefused, match="still to come"):
        record_payment(bill, Decimal("1.00"), received_on=today() + timedelta(days=2), by=admin)
    assert Payment.objects.count() == 1


def test_no_more_than_is_open(issued, admin):
    bill = issued()
    record_payment(bill, Decimal("100.00"), by=admin)
    with pytest.raises(InvoiceRefused, match=r"USD 10\.00 open"):
        record_payment(bill, Decimal("10.01"), by=admin)
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "1.005"])
def test_an_amount_is_to_the_cent_and_not_zero(issued, admin, amount):
    with pytest.raises(InvoiceRefused, match="cent"):
        record_payment(issued(), Decimal(amount), by=admin)
    assert not Payment.objects.exists()


def test_the_same_reference_is_entered_once(issued, admin):
    bill = issued()
    record_payment(bill, Decimal("1.00"), reference="T1", by=admin)
    with pytest.raises(InvoiceRefused, match="already"):
        record_payment(bill, Decimal("1.00"), reference="T1", by=admin)
    assert balance(bill) == Decimal("109.00")


@pytest.mark.parametrize(("days", "status"), [(0, "sent"), (40, "overdue")])
def test_a_payment_that_came_back_opens_it_again(issued, admin, days, status):
    bill = issued(issue_date=today() - timedelta(days=days))
    record_payment(bill, Decimal("110.00"), by=admin)
    record_payment(bill, Decimal("-110.00"), reference="returned", by=admin)
    bill.refresh_from_db()
    assert (bill.status, bill.paid_date, balance(bill)) == (status, None, Decimal("110.00"))


def test_no_more_goes_back_than_came(issued, admin):
    bill = issued()
    record_payment(bill, Decimal("10.00"), by=admin)
    with pytest.raises(InvoiceRefused, match=r"USD 10\.00 came"):
        record_payment(bill, Decimal("-10.01"), by=admin)


def test_a_draft_takes_no_payment(draft, admin):
    with pytest.raises(InvoiceRefused, match="issue it first"):
        record_payment(draft(), Decimal("1.00"), by=admin)


def test_balances_come_with_the_rows(issued, admin, django_assert_num_queries):
    bill = issued()
    record_payment(bill, Decimal("10.00"), by=admin)
    record_payment(bill, Decimal("5.00"), by=admin)
    with django_assert_num_queries(1):
        (row,) = with_balance(Invoice.objects.all())
    assert (row.paid_amount, row.credited_amount, row.open_amount) == (Decimal(15), Decimal(0), Decimal(95))


@pytest.mark.django_db(transaction=True)
def test_two_last_payments_at_once_are_one(issued, admin):
    bill = issued()
    results = []

    def pay():
        try:
            results.append(record_payment(bill, Decimal("110.00"), by=admin))
        except InvoiceRefused as refusal:
            results.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Payment.objects.count() == 1
    assert len([one for one in results if isinstance(one, InvoiceRefused)]) == 3
