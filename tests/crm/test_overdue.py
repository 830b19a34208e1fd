"""Invoices that are late, reminders of them, and the mails that go out: each once."""

import json
from datetime import date, timedelta
from decimal import Decimal
from email import message_from_string

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from crm.dunning import mark_overdue
from crm.invoicing import IllegalInvoiceMove, mail_again
from crm.models import BillingDetails, Invoice, InvoiceReminder
from crm.payments import credit_invoice, record_payment
from events.dispatch import drain
from events.models import OutboxEvent
from tests.crm.pdftext import text_of_pdf

pytestmark = pytest.mark.django_db

ISSUED = date(2026, 11, 1)
DUE = ISSUED + timedelta(days=14)


def test_an_invoice_is_overdue_on_the_day_after_it_was_due(issued):
    bill = issued(issue_date=ISSUED)
    assert mark_overdue(DUE).overdue == []
    done = mark_overdue(DUE + timedelta(days=1))
    assert done.overdue == [bill.invoice_number]
    bill.refresh_from_db()
    assert bill.status == "overdue"
    assert mark_overdue(DUE + timedelta(days=1)).overdue == []
    assert OutboxEvent.objects.filter(event_type="invoice.overdue").count() == 1


def test_what_was_paid_credited_or_never_issued_is_not_late(issued, draft, admin):
    record_payment(issued(issue_date=ISSUED), Decimal("110.00"), by=admin)
    credit_invoice(issued(issue_date=ISSUED), reason="all", by=admin)
    draft()
    done = mark_overdue(DUE + timedelta(days=60))
    assert (done.overdue, done.reminded) == ([], [])


def test_each_step_of_the_ladder_is_reminded_of_once(issued):
    bill = issued(issue_date=ISSUED)
    days = [DUE + timedelta(days=offset) for offset in range(-10, 20)]
    reminded = [(day - DUE).days for day in days for _ in range(2) if mark_overdue(day).reminded]
    assert reminded == [-3, 0, 3, 7]
    steps = InvoiceReminder.objects.filter(invoice=bill).order_by("step").values_list("step", flat=True)
    assert list(steps) == [-3, 0, 3, 7]
    told = OutboxEvent.objects.filter(event_type="invoice.reminder").order_by("id")
    assert [event.payload["step"] for event in told] == [-3, 0, 3, 7]


def test_after_days_without_a_run_there_is_one_reminder_and_none_of_long_ago(issued):
    issued(issue_date=ISSUED)
    done = mark_overdue(DUE + timedelta(days=8))
    assert len(done.reminded) == 1
    assert list(InvoiceReminder.objects.values_list("step", flat=True)) == [7]
    issued(issue_date=ISSUED - timedelta(days=300))
    assert mark_overdue(DUE + timedelta(days=8)).reminded == []


def test_nobody_is_reminded_before_the_invoice_was_issued(issued):
    issued(issue_date=ISSUED, due_days=2)
    assert mark_overdue(ISSUED).reminded == []


@pytest.mark.django_db(transaction=True)
def test_the_mail_of_an_issue_goes_once_with_the_file(issued, client_a, settings):
    settings.PUBLIC_URL = "https://farm.example.com"
    BillingDetails.objects.create(client=client_a, company="A <b>Ltd</b>", email="bills@a.example")
    bill = issued(issue_date=ISSUED)
    drain()
    drain()
    (sent,) = mail.outbox
    assert sent.to == ["bills@a.example"]
    assert bill.invoice_number in sent.subject
    assert f"https://farm.example.com/invoices/{bill.pk}/" in sent.body
    ((name, content, kind),) = sent.attachments
    assert (name, kind) == (f"{bill.invoice_number}.pdf", "application/pdf")
    assert "A <b>Ltd</b>" in text_of_pdf(content)
    bill.refresh_from_db()
    assert bill.mailed_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_mail_that_fails_is_tried_again_under_the_same_message_id(issued, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    folder = tmp_path / "mails"
    folder.write_text("in the way")
    settings.EMAIL_FILE_PATH = str(folder)
    bill = issued(issue_date=ISSUED)
    drain()
    event = OutboxEvent.objects.get(event_type="invoice.issued")
    assert event.status == "pending"
    bill.refresh_from_db()
    assert bill.mailed_at is None
    folder.unlink()
    OutboxEvent.objects.update(next_attempt_at="2026-01-01T00:00Z")
    drain()
    (file,) = folder.iterdir()
    assert message_from_string(file.read_text())["Message-ID"].startswith(f"<{event.event_uuid}@")


@pytest.mark.django_db(transaction=True)
def test_staff_mail_it_again_but_no_draft(issued, draft, admin):
    bill = issued(issue_date=ISSUED)
    mail_again(bill, by=admin)
    drain()
    assert len(mail.outbox) == 2
    with pytest.raises(IllegalInvoiceMove):
        mail_again(draft(), by=admin)


@pytest.mark.django_db(transaction=True)
def test_a_reminder_says_what_is_open_and_stays_away_once_paid(issued, admin):
    bill = issued(issue_date=ISSUED)
    record_payment(bill, Decimal("60.00"), by=admin)
    drain()
    mail.outbox.clear()
    mark_overdue(DUE + timedelta(days=3))
    drain()
    (sent,) = mail.outbox
    assert "USD 50.00 of it is still open" in sent.body
    mark_overdue(DUE + timedelta(days=7))
    record_payment(bill, Decimal("50.00"), by=admin)
    drain()
    assert len(mail.outbox) == 1


def test_the_command_tells_what_it_did_and_may_be_repeated(issued, capsys):
    bill = issued(issue_date=ISSUED)
    for overdue in ([bill.invoice_number], []):
        call_command("mark_overdue_invoices", "--date", "2026-11-18", "--json")
        assert json.loads(capsys.readouterr().out) == {"on": "2026-11-18", "overdue": overdue, "reminded": overdue}
    assert Invoice.objects.get().status == "overdue"


@pytest.mark.parametrize(("given", "told"), [("x", "write it as 2026-12-08"), ("2099-01-01", "still to come")])
def test_the_command_takes_days_that_have_come(issued, given, told):
    issued(issue_date=ISSUED)
    with pytest.raises(CommandError, match=told):
        call_command("mark_overdue_invoices", "--date", given)
    assert Invoice.objects.get().status == "sent"
    assert not InvoiceReminder.objects.exists()
