"""What was issued cannot be changed: not column by column in SQL as the application's role, not through any door."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError

from crm.invoice_content import content_hash
from crm.models import Invoice, InvoiceCounter, InvoiceLine, Payment
from crm.payments import record_payment

pytestmark = pytest.mark.django_db

MAY_MOVE = {"status", "paid_date", "pdf_path", "pdf_sha256", "mailed_at"}
OTHER_VALUES = {
    "integer": "COALESCE({0}, 0) + 1",
    "smallint": "COALESCE({0}, 0) + 1",
    "bigint": "COALESCE({0}, 0) + 1",
    "numeric": "COALESCE({0}, 0) + 1",
    "text": "COALESCE({0}, '') || 'x'",
    "date": "COALESCE({0}, DATE '2026-01-01') + 1",
    "timestamp with time zone": "COALESCE({0}, now()) + interval '1 day'",
    "jsonb": "{0} || '{{\"x\": 1}}'",
    "uuid": "gen_random_uuid()",
}


def columns(table):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY 1", [table]
        )
        return cursor.fetchall()


def refused(sql, *params):
    """Run as the application's role; the error's text."""
    with pytest.raises(DatabaseError) as failure:
        run(sql, params)
    return str(failure.value)


@transaction.atomic
def run(sql, params=()):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql, params)


@pytest.mark.parametrize("status", ["sent", "overdue", "paid"])
def test_no_column_of_an_issued_invoice_changes_by_sql(issued, admin, status):
    bill = issued()
    if status == "overdue":
        Invoice.objects.filter(pk=bill.pk).update(status="overdue")
    if status == "paid":
        record_payment(bill, Decimal("110.00"), by=admin)
    kept = [(name, kind) for name, kind in columns("crm_invoices") if name not in MAY_MOVE]
    assert len(kept) > 20
    before = Invoice.objects.values().get(pk=bill.pk)
    for name, kind in kept:
        text = refused(f"UPDATE crm_invoices SET {name} = {OTHER_VALUES[kind].format(name)} WHERE id = %s", bill.pk)
        assert "stays as it is" in text, name
    assert Invoice.objects.values().get(pk=bill.pk) == before


def test_no_column_of_its_lines_changes_by_sql(issued):
    bill = issued()
    for name, kind in columns("crm_invoice_lines"):
        text = refused(
            f"UPDATE crm_invoice_lines SET {name} = {OTHER_VALUES[kind].format(name)} WHERE invoice_id = %s", bill.pk
        )
        assert "its lines stay" in text, name
    assert "its lines stay" in refused("DELETE FROM crm_invoice_lines WHERE invoice_id = %s", bill.pk)
    assert "its lines stay" in refused(
        "INSERT INTO crm_invoice_lines (invoice_id, position, kind, description, quantity, unit, unit_price, amount, detail)"
        " VALUES (%s, 9, 'other', 'x', 1, '', 1, 1, '{}')",
        bill.pk,
    )
    assert content_hash(Invoice.objects.get(pk=bill.pk)) == bill.content_hash


def test_a_line_moves_neither_into_nor_out_of_an_issued_invoice(issued, draft):
    bill, other = issued(), draft()
    move = "UPDATE crm_invoice_lines SET invoice_id = %s, position = 8 WHERE invoice_id = %s AND position = 1"
    assert "its lines stay" in refused(move, bill.pk, other.pk)
    assert "its lines stay" in refused(move, other.pk, bill.pk)


@pytest.mark.parametrize("table", ["crm_invoices", "crm_invoice_lines", "crm_payments", "crm_invoice_counters"])
def test_nothing_is_deleted_or_truncated(issued, admin, table):
    record_payment(issued(), Decimal("1.00"), by=admin)
    assert "refused" in refused(f"DELETE FROM {table}")
    assert "TRUNCATE refused" in refused(f"TRUNCATE {table} CASCADE")


def test_the_states_move_as_the_table_says_and_not_otherwise(issued):
    bill = issued()
    assert "stays as it is" in refused("UPDATE crm_invoices SET status = 'draft' WHERE id = %s", bill.pk)
    Invoice.objects.filter(pk=bill.pk).update(status="paid")
    assert "stays as it is" in refused("UPDATE crm_invoices SET status = 'overdue' WHERE id = %s", bill.pk)


def test_file_and_mail_are_written_once(issued):
    bill = issued()
    rows = Invoice.objects.filter(pk=bill.pk)
    rows.update(pdf_path="2026/a.pdf", pdf_sha256="ab", mailed_at="2026-11-01T00:00Z")
    for change in ("pdf_path = NULL", "pdf_path = 'b'", "pdf_sha256 = 'cd'", "mailed_at = NULL", "mailed_at = now()"):
        assert "stays as it is" in refused(f"UPDATE crm_invoices SET {change} WHERE id = %s", bill.pk)


def test_a_draft_is_not_issued_past_its_hold_its_number_or_its_total(draft):
    bill = draft(held_for="look at it")
    issue = (
        "UPDATE crm_invoices SET status = 'sent', issue_date = now(), due_date = now(), content_hash = 'x',"
        " invoice_number = %s, held_for = %s WHERE id = %s"
    )
    assert "held back" in refused(issue, "INV-1", "look at it", bill.pk)
    assert "without a number" in refused(issue, bill.invoice_number, None, bill.pk)
    assert "paid" not in refused("UPDATE crm_invoices SET status = 'paid' WHERE id = %s", bill.pk).lower()[:6]
    Invoice.objects.filter(pk=bill.pk).update(net=1, amount=1)
    assert "its lines come to 110.00" in refused(issue, "INV-1", None, bill.pk)


@pytest.mark.django_db(transaction=True)
def test_a_commit_fails_when_the_lines_do_not_add_up(draft):
    bill = draft()
    wrong = Invoice.objects.filter(pk=bill.pk)
    wrong.update(net=1, amount=1)
    day = date(2026, 11, 1)
    with pytest.raises(IntegrityError, match="its lines come to"):
        wrong.update(status="sent", issue_date=day, due_date=day, content_hash="x", invoice_number="INV-1")
    assert wrong.get().status == "draft"


def test_counters_never_go_back_or_jump(issued):
    issued()
    for last in (0, 1, 3, 10):
        assert "one at a time" in refused("UPDATE crm_invoice_counters SET last = %s", last)
    assert InvoiceCounter.objects.get().last == 1


def test_payments_stay_as_written(issued, admin):
    payment = record_payment(issued(), Decimal("1.00"), by=admin)
    for name, kind in columns("crm_payments"):
        assert "kept as written" in refused(f"UPDATE crm_payments SET {name} = {OTHER_VALUES[kind].format(name)}"), name
    assert Payment.objects.get().amount == payment.amount


def test_nor_do_the_models_let_it(issued):
    bill = issued()
    bill.notes = "cheaper"
    with pytest.raises(DatabaseError), transaction.atomic():
        bill.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        bill.delete()
    with pytest.raises(ProtectedError):
        bill.client.delete()
    line = bill.lines.first()
    line.amount = Decimal(0)
    with pytest.raises(DatabaseError), transaction.atomic():
        line.save()
    assert InvoiceLine.objects.get(pk=line.pk).amount == Decimal("100.00")


def test_a_draft_may_change_in_all(draft):
    bill = draft()
    bill.notes, bill.period_start = "as agreed", date(2026, 10, 1)
    bill.period_end = bill.period_start + timedelta(days=31)
    bill.save()
    bill.lines.update(description="other words")
    bill.lines.all().delete()
    assert not InvoiceLine.objects.exists()
