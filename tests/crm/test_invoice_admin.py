"""Staff at work on invoices in the admin: drafts are written, what was issued is only paid, credited, mailed again."""

import csv
import io
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from crm.invoicing import issue_invoice, today
from crm.models import Invoice, InvoiceCounter, Payment
from events.models import OutboxEvent

pytestmark = pytest.mark.django_db

LIST, ADD = reverse("admin:crm_invoice_changelist"), reverse("admin:crm_invoice_add")


@pytest.fixture
def office(client, admin):
    client.force_login(admin)
    return client


def act(office, name, *bills, **fields):
    chosen = {"action": name, ACTION_CHECKBOX_NAME: [bill.pk for bill in bills]}
    return office.post(LIST, chosen | fields, follow=True)


def page_of(bill):
    return reverse("admin:crm_invoice_change", args=[bill.pk])


def lines(*rows, initial=0, ids=()):
    sent = {
        "lines-TOTAL_FORMS": len(rows),
        "lines-INITIAL_FORMS": initial,
        "payments-TOTAL_FORMS": 0,
        "payments-INITIAL_FORMS": 0,
    }
    for number, (description, quantity, price) in enumerate(rows):
        sent |= {
            f"lines-{number}-kind": "other",
            f"lines-{number}-description": description,
            f"lines-{number}-quantity": quantity,
            f"lines-{number}-unit": "",
            f"lines-{number}-unit_price": price,
        }
        if number < len(ids):
            sent |= {f"lines-{number}-id": ids[number]}
    return sent


def test_a_draft_is_written_and_added_up(office, client_a, admin):
    sent = {"client": client_a.pk, "currency": "USD", "tax_pct": "10", "due_days": "14", "notes": ""}
    reply = office.post(ADD, sent | lines(("Cable", "3", "1.335"), ("Work", "1", "20")))
    assert reply.status_code == 302, reply.context["errors"]
    bill = Invoice.objects.get()
    assert (bill.status, bill.created_by) == ("draft", admin)
    # 3 x 1.335 = 4.005, half-even to 4.00
    assert [line.amount for line in bill.lines.order_by("position")] == [Decimal("4.00"), Decimal("20.00")]
    assert (bill.net, bill.tax, bill.amount) == (Decimal("24.00"), Decimal("2.40"), Decimal("26.40"))


def test_a_line_that_is_changed_changes_the_total(office, draft):
    bill = draft()
    ids = list(bill.lines.order_by("position").values_list("pk", flat=True))
    sent = {"currency": "USD", "tax_pct": "0", "due_days": "14", "notes": "", "held_for": ""}
    rows = lines(("Energy", "1000", "0.2"), ("Racking", "1", "10"), initial=2, ids=ids)
    reply = office.post(page_of(bill), sent | rows)
    assert reply.status_code == 302, reply.context["errors"]
    bill.refresh_from_db()
    assert (bill.net, bill.held_for) == (Decimal("210.00"), None)
    # Customers read the detail: who of the farm it was is in the log of the Admin.
    assert bill.lines.get(pk=ids[0]).detail["by_hand"] is True


def test_an_issued_one_cannot_be_edited_or_deleted(office, issued):
    bill = issued()
    page = office.get(page_of(bill))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    ids = list(bill.lines.order_by("position").values_list("pk", flat=True))
    sent = {"currency": "EUR", "tax_pct": "0", "due_days": "14", "notes": "cheaper"}
    assert office.post(page_of(bill), sent | lines(("Energy", "1", "1"), initial=1, ids=ids)).status_code == 403
    assert office.post(reverse("admin:crm_invoice_delete", args=[bill.pk]), {"post": "yes"}).status_code == 403
    act(office, "delete_selected", bill, post="yes")
    again = Invoice.objects.get()
    assert (again.currency, again.notes, again.amount) == ("USD", "", Decimal("110.00"))


def test_a_draft_is_deleted_alone(office, draft, issued):
    bill, kept = draft(), issued()
    act(office, "delete_selected", bill, post="yes")
    assert list(Invoice.objects.all()) == [kept]


def test_drafts_are_issued_held_ones_not(office, draft):
    free, held = draft(), draft(held_for="coverage 91 %")
    page = act(office, "issue", free, held)
    assert "coverage 91 %" in page.content.decode()
    free.refresh_from_db()
    held.refresh_from_db()
    assert (free.status, held.status) == ("sent", "draft")
    assert free.pdf_sha256
    assert InvoiceCounter.objects.get().last == 1


def test_a_full_disk_hides_no_number_and_the_others_are_issued_all_the_same(office, draft, settings, tmp_path, caplog):
    settings.INVOICE_DIR = tmp_path / "file"
    settings.INVOICE_DIR.write_text("in the way")
    page = act(office, "issue", draft(), draft()).content.decode()
    assert all(bill.status == "sent" and bill.invoice_number in page for bill in Invoice.objects.all())
    assert "its PDF was not written to INVOICE_DIR" in caplog.text


@pytest.mark.stale_sign_in
@pytest.mark.parametrize("name", ["issue", "pay", "credit"])
def test_money_takes_a_fresh_proof(office, draft, issued, name):
    bill = draft() if name == "issue" else issued()
    reply = office.post(
        LIST, {"action": name, ACTION_CHECKBOX_NAME: [bill.pk], "apply": "1", "amount": "1", "reason": "x"}
    )
    assert "reauthenticate" in reply["Location"]
    assert not Payment.objects.exists()
    assert Invoice.objects.count() == 1


def test_a_payment_is_asked_for_and_entered(office, issued, admin):
    bill = issued()
    form = act(office, "pay", bill)
    assert "Enter a payment" in form.content.decode()
    sent = {"apply": "1", "amount": "200", "received_on": "2026-11-20", "method": "bank", "reference": "", "note": ""}
    refused = act(office, "pay", bill, **sent)
    assert "USD 110.00 open" in refused.content.decode()
    act(office, "pay", bill, **(sent | {"amount": "110"}))
    bill.refresh_from_db()
    assert (bill.status, bill.paid_date) == ("paid", date(2026, 11, 20))
    assert Payment.objects.get().recorded_by == admin


def test_a_part_is_credited(office, issued):
    bill = issued()
    act(office, "credit", bill, apply="1", net="10", reason="two days")
    note = Invoice.objects.get(kind="credit_note")
    assert (note.amount, note.reverses_id) == (Decimal("-10.00"), bill.pk)


def test_a_part_of_nothing_credits_nothing(office, issued):
    page = act(office, "credit", issued(), apply="1", net="0", reason="a slip of the hand")
    assert "greater than or equal to 0.01" in page.content.decode()
    assert Invoice.objects.count() == 1


def test_an_amount_that_no_column_holds_is_said_and_nothing_is_written(office, client_a):
    sent = {"client": client_a.pk, "currency": "USD", "tax_pct": "10", "due_days": "14", "notes": ""}
    reply = office.post(ADD, sent | lines(("Cable", "9999999999", "9999999")), follow=True)
    assert "more than an invoice can hold" in reply.content.decode()
    assert not Invoice.objects.exists()


def test_mail_goes_again(office, issued):
    act(office, "mail", issued())
    assert OutboxEvent.objects.filter(event_type="invoice.mail_wanted").count() == 1


def test_the_list_adds_up_and_filters_by_age_and_hold(office, draft, issued, admin):
    old = issued(issue_date=today() - timedelta(days=60))  # 46 days late
    new = issued()
    held = draft(held_for="look")
    page = office.get(LIST).content.decode()
    assert "USD 220.00" in page
    for query, expected in (
        ({"age": "60"}, old),
        ({"age": "current"}, new),
        ({"held": "yes"}, held),
        ({"status__exact": "draft"}, held),
    ):
        found = office.get(LIST, query).context["cl"].queryset
        assert list(found) == [expected], query
    assert not office.get(LIST, {"age": "older"}).context["cl"].queryset.exists()


def test_nothing_of_a_draft_is_open_in_the_export(office, draft):
    (row,) = csv.DictReader(io.StringIO(act(office, "export", draft()).getvalue().decode()))
    assert (row["status"], row["open"]) == ("draft", "")


def test_the_export_has_no_formula(office, issued):
    rows = list(csv.DictReader(io.StringIO(act(office, "export", issued(), issued()).getvalue().decode())))
    assert [row["amount"] for row in rows] == ["110.00", "110.00"]


def test_operators_see_no_money(client, operator, issued):
    client.force_login(operator)
    assert client.get(page_of(issued())).status_code in {302, 403}
    assert client.get(LIST).status_code in {302, 403}


def test_editing_a_draft_that_was_issued_meanwhile_changes_nothing(office, draft, admin, monkeypatch):
    from crm.admin.invoices import InvoiceAdmin

    bill = draft()
    ids = list(bill.lines.order_by("position").values_list("pk", flat=True))

    def issue_first(self, request, obj, form, change):
        issue_invoice(bill, by=admin)
        return original(self, request, obj, form, change)

    original = InvoiceAdmin.save_model
    monkeypatch.setattr(InvoiceAdmin, "save_model", issue_first)
    sent = {"currency": "EUR", "tax_pct": "0", "due_days": "14", "notes": "cheaper", "held_for": ""}
    reply = office.post(
        page_of(bill), sent | lines(("Energy", "1000", "0.2"), ("Racking", "1", "10"), initial=2, ids=ids)
    )
    assert reply.status_code == 302
    bill.refresh_from_db()
    assert (bill.currency, bill.amount) == ("USD", Decimal("110.00"))
