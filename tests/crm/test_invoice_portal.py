"""Customers read what was issued to them, and nobody else's; the file is theirs alone."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from django.core import mail
from django.db import DatabaseError, transaction
from django.urls import reverse

from crm.invoicing import store_pdf
from crm.models import Invoice, InvoiceLine, Payment
from crm.payments import credit_invoice, part_of, record_payment
from minefarm.lib.rls import walled

pytestmark = pytest.mark.django_db

LIST = reverse("invoices:invoices")


@pytest.fixture
def bills(issued, draft, admin, client_a, client_b):
    """Two of client a, one of them paid in part; a draft of a; one of client b."""
    mine = issued(client_a, issue_date=date(2026, 10, 1))
    record_payment(mine, Decimal("60.00"), reference="WIRE-7", note="our secret note", by=admin)
    other = issued(client_b, issue_date=date(2026, 10, 1))
    return {"mine": mine, "second": issued(client_a), "draft": draft(client_a, held_for="why"), "other": other}


def text(reply) -> str:
    return reply.getvalue().decode()


def test_a_customer_sees_their_issued_invoices_and_what_is_open(client, client_a, bills):
    client.force_login(client_a)
    page = text(client.get(LIST))
    assert bills["mine"].invoice_number in page
    assert bills["second"].invoice_number in page
    assert "USD 160.00" in page  # 50 + 110
    assert bills["other"].invoice_number not in page
    assert "draft" not in page


@pytest.mark.parametrize("name", ["invoice", "pdf", "usage"])
@pytest.mark.parametrize("whose", ["other", "draft"])
def test_of_foreign_invoices_and_drafts_there_is_nothing(client, client_a, bills, name, whose):
    client.force_login(client_a)
    assert client.get(reverse(f"invoices:{name}", args=[bills[whose].pk])).status_code == 404


def test_the_page_of_one_shows_lines_payments_and_credit_notes(client, client_a, admin, bills):
    note = credit_invoice(bills["second"], reason="late start", by=admin)
    client.force_login(client_a)
    page = text(client.get(reverse("invoices:invoice", args=[bills["mine"].pk])))
    for shown in ("Energy", "1,000.000 kWh", "0.100000", "WIRE-7", "60.00", "USD 50.00"):
        assert shown in page
    assert "our secret note" not in page
    page = text(client.get(reverse("invoices:invoice", args=[bills["second"].pk])))
    assert note.invoice_number in page
    page = text(client.get(reverse("invoices:invoice", args=[note.pk])))
    assert bills["second"].invoice_number in page


def test_the_file_is_an_attachment_that_no_browser_runs(client, client_a, bills):
    client.force_login(client_a)
    reply = client.get(reverse("invoices:pdf", args=[bills["mine"].pk]))
    assert reply.content.startswith(b"%PDF")
    assert reply["Content-Type"] == "application/pdf"
    assert reply["Content-Disposition"] == f'attachment; filename="{bills["mine"].invoice_number}.pdf"'
    assert reply["X-Content-Type-Options"] == "nosniff"
    bills["mine"].refresh_from_db()
    assert bills["mine"].pdf_path


def test_a_file_that_was_changed_is_not_given_out_and_staff_are_told(client, client_a, bills, settings):
    settings.ALERT_EMAILS = ["office@farm.example"]
    stored = store_pdf(bills["mine"])
    (settings.INVOICE_DIR / stored.pdf_path).write_bytes(b"%PDF-1.4 something else")
    client.force_login(client_a)
    reply = client.get(reverse("invoices:pdf", args=[stored.pk]))
    assert (reply.status_code, b"something else" in reply.content) == (409, False)
    (told,) = mail.outbox
    assert stored.invoice_number in told.subject


def test_only_those_who_may_see_money_find_it(client, admin, owner, operator, guest, bills):
    for person, status in ((admin, 200), (owner, 200), (operator, 404), (guest, 404)):
        client.force_login(person)
        assert client.get(LIST).status_code == status
        assert client.get(reverse("invoices:pdf", args=[bills["mine"].pk])).status_code == status
    client.logout()
    assert client.get(LIST).status_code == 302


def test_staff_see_the_issued_ones_of_all(client, admin, bills):
    client.force_login(admin)
    page = text(client.get(LIST))
    assert "client-a" in page
    assert "client-b" in page
    assert client.get(reverse("invoices:pdf", args=[bills["draft"].pk])).status_code == 404


def test_the_csv_has_no_formula_in_it(client, admin, client_a, bills):
    client_a.name = "=cmd()"
    client_a.save()
    client.force_login(admin)
    rows = list(csv.DictReader(io.StringIO(text(client.get(LIST, {"as": "csv", "show": "open"})))))
    assert {row["number"] for row in rows} == {bills[name].invoice_number for name in ("mine", "second", "other")}
    assert {row["open"] for row in rows} == {"50.00", "110.00"}
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_the_list_can_be_narrowed(client, client_a, admin, bills):
    record_payment(bills["second"], Decimal("110.00"), by=admin)
    client.force_login(client_a)
    note = credit_invoice(bills["mine"], lines=part_of(bills["mine"], Decimal(1), "a cable"), reason="x", by=admin)
    page = text(client.get(LIST, {"show": "open"}))
    assert f">{bills['mine'].invoice_number}<" in page
    assert note.invoice_number not in page  # issued, and nothing to pay
    page = text(client.get(LIST, {"show": "paid"}))
    assert bills["second"].invoice_number in page
    assert f">{bills['mine'].invoice_number}<" not in page


def test_the_wall_gives_a_customer_their_rows_and_no_staff_columns(client_a, bills):
    with transaction.atomic(), walled(client_a.pk):
        seen = set(Invoice.objects.values_list("pk", flat=True))
        assert seen == {bills["mine"].pk, bills["second"].pk}
        assert set(InvoiceLine.objects.values_list("invoice_id", flat=True)) == seen
        assert [payment.amount for payment in Payment.objects.only("amount")] == [Decimal("60.00")]


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (Invoice, "held_for"),
        (Invoice, "pdf_path"),
        (Invoice, "deal_id"),
        (Invoice, "created_by_id"),
        (Invoice, "issued_by_id"),
        (Payment, "note"),
        (Payment, "recorded_by_id"),
    ],
)
def test_columns_of_staff_are_refused_behind_the_wall(client_a, bills, model, column):
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), walled(client_a.pk):
        list(model.objects.values_list(column, flat=True))


@pytest.mark.parametrize("change", [{"status": "paid"}, {"notes": "x"}, {"mailed_at": None}])
def test_nothing_is_written_behind_the_wall(client_a, bills, change):
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), walled(client_a.pk):
        Invoice.objects.filter(pk=bills["mine"].pk).update(**change)


@pytest.fixture
def metered(client_a, site, miner_a, draft, admin):
    """An invoice computed from three days of one machine, the last one unknown."""
    from crm.invoicing import issue_invoice
    from crm.models import Contract, UsageDay, UsageSnapshot

    contract = Contract.objects.create(number="C-1", client=client_a, site=site, starts_on=date(2026, 1, 1))
    snapshot = UsageSnapshot.objects.create(
        contract=contract,
        client=client_a,
        month=date(2026, 10, 1),
        starts_at="2026-10-01T00:00Z",
        ends_at="2026-11-01T00:00Z",
        inputs={},
        content_hash="x",
    )
    for number, kwh in enumerate((Decimal("72.5"), Decimal("71.25"), None), start=1):
        UsageDay.objects.create(
            snapshot=snapshot,
            miner=miner_a,
            serial_number="=A-0001",
            day=date(2026, 10, number),
            period_s=86_400,
            kwh=kwh,
            source="miner" if kwh else "gap",
            gap_s=0 if kwh else 86_400,
            hashing_s=86_400 if kwh else 0,
        )
    return issue_invoice(draft(snapshot=snapshot), by=admin)


def test_the_usage_behind_the_lines_is_there_by_machine_and_day(client, client_a, metered):
    client.force_login(client_a)
    page = text(client.get(reverse("invoices:invoice", args=[metered.pk])))
    assert "143.750" in page  # both known days
    assert "66.7 %" in page
    assert "2026-10-03" in page
    rows = list(csv.DictReader(io.StringIO(text(client.get(reverse("invoices:usage", args=[metered.pk]))))))
    assert [(row["serial_number"], row["day"], row["kwh"]) for row in rows] == [
        ("'=A-0001", "2026-10-01", "72.500000"),
        ("'=A-0001", "2026-10-02", "71.250000"),
        ("'=A-0001", "2026-10-03", ""),
    ]


def test_its_file_has_the_chart(client, client_a, metered):
    from crm.invoice_files import pdf_bytes
    from tests.crm.pdftext import text_of_pdf

    assert "143.750 kWh in 3 days" in text_of_pdf(pdf_bytes(metered))
