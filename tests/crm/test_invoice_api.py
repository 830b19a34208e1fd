"""The API's doors to invoices and payments: own ones for customers, the verbs for staff, none of the dangerous for tokens."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.tokens import make_token
from crm.models import Invoice, InvoiceCounter, Payment
from crm.payments import record_payment

pytestmark = pytest.mark.django_db

INVOICES, PAYMENTS = "/api/v1/crm/invoices/", "/api/v1/crm/payments/"


@pytest.fixture
def door():
    def open_door(user) -> APIClient:
        opened = APIClient()
        opened.force_login(user)
        return opened

    return open_door


@pytest.fixture
def program(admin):
    """A token of an administrator, with the right to write."""
    caller = APIClient()
    _, secret = make_token(
        name="bank", scopes={"read", "write"}, expires_at=timezone.now() + timedelta(days=1), by=admin
    )
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return caller


def test_customers_read_their_issued_invoices_with_lines(door, issued, draft, client_a, client_b):
    mine, _other, _draft = issued(client_a, issue_date=date(2026, 11, 1)), issued(client_b), draft(client_a)
    (row,) = door(client_a).get(INVOICES).json()["results"]
    assert row["id"] == mine.pk
    assert (row["amount"], row["open_amount"], row["status"]) == ("110.00", "110.00", "sent")
    assert not {"held_for", "deal_id", "created_at"} & set(row)
    whole = door(client_a).get(f"{INVOICES}{mine.pk}/").json()
    assert [(line["quantity"], line["unit_price"], line["amount"]) for line in whole["lines"]] == [
        ("1000.000", "0.100000", "100.00"),
        ("1.000", "10.000000", "10.00"),
    ]


def test_foreign_invoices_drafts_and_payments_are_not_there(door, issued, draft, admin, client_a, client_b):
    other = issued(client_b)
    payment = record_payment(other, Decimal("1.00"), by=admin)
    opened = door(client_a)
    for path in (f"{INVOICES}{other.pk}/", f"{INVOICES}{draft(client_a).pk}/", f"{PAYMENTS}{payment.pk}/"):
        assert opened.get(path).status_code == 404
    assert opened.get(PAYMENTS).json()["results"] == []


@pytest.mark.parametrize("verb", ["issue", "credit", "pay"])
def test_customers_and_operators_do_none_of_it(door, issued, draft, client_a, operator, verb):
    for person in (client_a, operator):
        for bill in (issued(client_a), draft(client_a)):
            sent = {"amount": "1.00", "reason": "x"}
            assert door(person).post(f"{INVOICES}{bill.pk}/{verb}/", sent, format="json").status_code in {403, 404}
    assert not Payment.objects.exists()
    assert not Invoice.objects.filter(kind="credit_note").exists()


def test_the_filters_narrow(door, issued, draft, admin, client_a, client_b):
    october, november = issued(client_a, issue_date=date(2026, 10, 5)), issued(client_b, issue_date=date(2026, 11, 5))
    held = draft(held_for="coverage")
    opened = door(admin)

    def found(**query) -> set[int]:
        return {row["id"] for row in opened.get(INVOICES, query).json()["results"]}

    assert found(status="draft") == {held.pk}
    assert found(client=str(client_b.pk)) == {november.pk}
    assert found(issued_from="2026-11-01") == {november.pk}
    assert found(issued_before="2026-11-01") == {october.pk}
    assert found(number=october.invoice_number) == {october.pk}
    assert found(kind="credit_note") == found(has_usage="true") == set()
    assert opened.get(INVOICES, {"stauts": "draft"}).status_code == 400
    assert opened.get(INVOICES, {"status": "void"}).status_code == 400


def test_a_person_issues_a_draft_once(door, draft, admin):
    bill = draft()
    reply = door(admin).post(f"{INVOICES}{bill.pk}/issue/")
    assert reply.status_code == 200
    assert reply.json()["invoice_number"].endswith("-00001")
    again = door(admin).post(f"{INVOICES}{bill.pk}/issue/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert InvoiceCounter.objects.get().last == 1


def test_a_draft_that_is_held_stays(door, draft, admin):
    reply = door(admin).post(f"{INVOICES}{draft(held_for='coverage 91 %').pk}/issue/")
    assert reply.status_code == 409
    assert "coverage 91 %" in reply.json()["error"]["message"]


@pytest.mark.stale_sign_in
@pytest.mark.parametrize("verb", ["issue", "credit", "pay"])
def test_a_person_proves_again_who_they_are(door, draft, issued, admin, verb):
    bill = draft() if verb == "issue" else issued()
    reply = door(admin).post(f"{INVOICES}{bill.pk}/{verb}/", {"amount": "1.00", "reason": "x"}, format="json")
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "step_up_required")
    assert not Payment.objects.exists()


def test_a_token_enters_payments_and_neither_issues_nor_credits(program, draft, issued):
    bill, unissued = issued(), draft()
    reply = program.post(f"{INVOICES}{bill.pk}/pay/", {"amount": "60.00", "reference": "W1"}, format="json")
    assert reply.status_code == 201
    assert reply.json()["amount"] == "60.00"
    again = program.post(f"{INVOICES}{bill.pk}/pay/", {"amount": "60.00", "reference": "W1"}, format="json")
    assert again.status_code == 409
    assert program.post(f"{INVOICES}{unissued.pk}/issue/").status_code == 403
    assert program.post(f"{INVOICES}{bill.pk}/credit/", {"reason": "x"}, format="json").status_code == 403
    assert Payment.objects.get().amount == Decimal("60.00")
    assert Invoice.objects.filter(status="draft").count() == 1


def test_too_much_is_refused_with_what_is_open(door, issued, admin):
    bill = issued()
    reply = door(admin).post(f"{INVOICES}{bill.pk}/pay/", {"amount": "110.01"}, format="json")
    assert reply.status_code == 409
    assert "USD 110.00 open" in reply.json()["error"]["message"]
    assert door(admin).post(f"{INVOICES}{bill.pk}/pay/", {"amount": "1.001"}, format="json").status_code == 400


def test_a_part_and_the_rest_are_credited(door, issued, admin):
    bill = issued(tax_pct=Decimal(10))
    opened = door(admin)
    part = opened.post(f"{INVOICES}{bill.pk}/credit/", {"reason": "two days", "net": "10.00"}, format="json")
    assert part.status_code == 201
    assert (part.json()["amount"], part.json()["reverses_id"]) == ("-11.00", bill.pk)
    rest = opened.post(f"{INVOICES}{bill.pk}/credit/", {"reason": "the rest"}, format="json").json()
    assert rest["amount"] == "-110.00"
    assert opened.get(f"{INVOICES}{bill.pk}/").json()["open_amount"] == "0.00"
    over = opened.post(f"{INVOICES}{bill.pk}/credit/", {"reason": "more"}, format="json")
    assert over.status_code == 409


def test_nothing_is_added_changed_or_deleted_by_other_methods(door, issued, admin):
    bill = issued()
    opened = door(admin)
    assert opened.post(INVOICES, {}, format="json").status_code == 404
    for method in (opened.patch, opened.put, opened.delete):
        assert method(f"{INVOICES}{bill.pk}/", {"notes": "x"}, format="json").status_code == 405
        assert method(f"{PAYMENTS}1/", {}, format="json").status_code == 405
    assert Invoice.objects.get().notes == ""
