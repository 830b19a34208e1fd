"""A customer looks at their invoices and takes the file; an administrator issues one, with a browser."""

from datetime import date
from decimal import Decimal

import pytest

from crm.invoicing import DraftLine, draft_invoice, issue_invoice
from crm.models import Invoice
from crm.payments import record_payment
from crm.states import LineKind
from tests.browser.test_in_browser import sign_in
from tests.browser.test_people_in_browser import shot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def drafted(settings, tmp_path, client_a, admin):
    settings.INVOICE_DIR = tmp_path / "invoices"
    kwh, price = Decimal("28144.217"), Decimal("0.0725")
    lines = [
        DraftLine(LineKind.ENERGY, "Energy of 12 machines at North", kwh, "kWh", price, Decimal("2040.46")),
        DraftLine(LineKind.SLA_CREDIT, "Uptime 97.2 % of 98 %", Decimal(1), "", Decimal("-9.60"), Decimal("-9.60")),
    ]
    period = {"period_start": date(2026, 10, 1), "period_end": date(2026, 11, 1)}
    return draft_invoice(client=client_a, lines=lines, tax_pct=Decimal("8.25"), **period, by=admin)


def test_a_customer_reads_an_invoice_and_takes_its_file(page, client_a, admin, drafted):
    bill = issue_invoice(drafted, by=admin)
    record_payment(bill, Decimal("1000.00"), reference="W-17", by=admin)
    sign_in(page, client_a)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Invoices").click()
    page.get_by_role("heading", name="Open: USD 1,198.41").wait_for()
    shot(page, "invoices")
    page.get_by_role("link", name=bill.invoice_number).click()
    page.get_by_text("W-17").wait_for()
    shot(page, "invoice")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").click()
    assert download.value.suggested_filename == f"{bill.invoice_number}.pdf"


def test_an_administrator_issues_a_draft(page, admin, drafted):
    sign_in(page, admin)
    page.goto("/admin/crm/invoice/")
    shot(page, "admin-invoices")
    page.locator("input[name=_selected_action]").check()
    page.locator("select[name=action]").select_option("issue")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("Issued: INV-").wait_for()
    assert Invoice.objects.get().status == "sent"
    page.goto(f"/admin/crm/invoice/{drafted.pk}/change/")
    shot(page, "admin-invoice")
