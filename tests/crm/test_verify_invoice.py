"""An invoice computed again: whoever went around the triggers is found out, whatever they changed."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from crm.billing.letting_out import issue_held
from crm.billing.runs import issue_run
from crm.billing.verify import verify
from crm.invoicing import add_up
from crm.models import Invoice, InvoiceLine
from crm.models.invoices import BY_HAND
from hosting.models import MinerHour
from tests.crm.billing_cast import METERED, OCTOBER, agree, run_machines


@pytest.fixture
def billed(site, make_miner, client_a, admin):
    run_machines(site, [make_miner("A-1", client=client_a)])
    agree(client_a, site, **METERED, uptime_guarantee_pct=99, tax_pct=19)
    return issue_run(OCTOBER, by=admin).bills[0].invoice


@contextmanager
def triggers_off(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} ENABLE TRIGGER USER")


def verified(invoice) -> list[str]:
    return verify(Invoice.objects.select_related("snapshot").get(pk=invoice.pk))


def test_what_was_issued_verifies(billed, site, client_a):
    assert verified(billed) == []
    # The world goes on: names, prices and the ledger are not asked again.
    site.name = "Elsewhere"
    site.save()
    client_a.name = "Another"
    client_a.save()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM miner_telemetry_hour")
    assert verified(billed) == []


TAMPERED = [
    ("crm_invoice_lines", "quantity = quantity + 1", "the usage gives"),
    (
        "crm_invoice_lines",
        "quantity = quantity + 1, amount = round((quantity + 1) * unit_price, 2)",
        "line 1: quantity is",
    ),
    ("crm_invoice_lines", "description = 'Something else'", "line 1: description is Something else"),
    ("crm_invoice_lines", "detail = '{}'", "line 1: detail is {}"),
    ("crm_invoice_lines", "kind = 'other'", "line 1: kind is other"),
    ("crm_invoices", "net = net - 1, amount = amount - 1", "the lines come to"),
    ("crm_invoices", "tax = 0, tax_pct = 0, amount = net", "the tax is 0.000, the usage gives 19.000"),
    ("crm_invoices", "invoice_number = 'INV-2026-99999'", "its hash differs"),
    ("crm_invoices", "bill_to = '{}'", "its hash differs"),
    ("crm_invoices", "content_hash = 'x'", "its hash differs"),
    ("crm_invoices", "pdf_sha256 = 'x'", "the PDF is not what was stored"),
    ("crm_invoices", "period_end = period_end + 1", "the period is not 2026-10"),
    ("crm_usage_days", "kwh = kwh + 0.000001 WHERE day = '2026-10-05'", "not what was frozen"),
    ("crm_usage_days", "kwh = NULL WHERE day = '2026-10-05'", "the usage gives"),
    ("crm_usage_days", "serial_number = 'Z' WHERE day = '2026-10-05'", "not what was frozen"),
    (
        "crm_usage_snapshots",
        "inputs = jsonb_set(inputs, '{parts,0,terms,rate_per_kwh}', '\"0.01\"')",
        "the usage gives",
    ),
    ("crm_usage_snapshots", "inputs = '{}'", "the usage cannot be read"),
    ("crm_usage_snapshots", "content_hash = 'x'", "not what was frozen"),
]


@pytest.mark.parametrize(("table", "change", "said"), TAMPERED)
def test_what_was_tampered_with_is_found(billed, table, change, said):
    with triggers_off(table) as cursor:
        cursor.execute(f"UPDATE {table} SET {change}")
        assert cursor.rowcount == 1
    assert any(said in text for text in verified(billed)), verified(billed)


def test_a_line_more_or_less_is_found(billed):
    with triggers_off("crm_invoice_lines") as cursor:
        cursor.execute("DELETE FROM crm_invoice_lines")
    assert "the invoice has 0 lines, the usage gives 1" in verified(billed)


def test_what_somebody_added_stands_beside_what_was_computed_and_outlives_a_run(site, make_miner, client_a, admin):
    """A late fee is added to the next draft: the usage knows nothing of it, and the ledger may make the draft anew."""
    run_machines(site, [make_miner("A-1", client=client_a)])
    agree(client_a, site)
    MinerHour.objects.update(gap_s=1800)
    held = issue_run(OCTOBER, by=admin).bills[0].invoice
    line = {"kind": "late_fee", "description": "Late", "quantity": 1, "unit_price": 25, "amount": 25, "detail": BY_HAND}
    InvoiceLine.objects.create(invoice=held, position=2, **line)
    add_up(held)
    MinerHour.objects.update(gap_s=1200)
    bill = issue_run(OCTOBER, by=admin).bills[0]
    assert bill.invoice.pk != held.pk
    assert (bill.invoice.lines.count(), bill.amount) == (2, bill.invoice.amount)
    issued = issue_held(bill.invoice, reason="The site's meter agrees", by=admin)
    assert verified(issued) == []
    with triggers_off("crm_invoice_lines") as cursor:
        cursor.execute("UPDATE crm_invoice_lines SET amount = 20, unit_price = 20 WHERE kind = 'late_fee'")
    assert any("the lines come to" in text for text in verified(issued))


def test_a_pdf_that_was_written_over_or_lost_is_found(billed, settings):
    file = Path(settings.INVOICE_DIR) / billed.pdf_path
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b" ")
    assert verified(billed) == ["the PDF is not what was stored: its hash differs"]
    file.unlink()
    assert verified(billed) == ["the PDF cannot be read: No such file or directory"]


def test_an_invoice_by_hand_is_verified_without_usage(issued):
    invoice = issued()
    assert [text for text in verify(invoice) if "PDF" not in text] == []
    with triggers_off("crm_invoice_lines") as cursor:
        cursor.execute("UPDATE crm_invoice_lines SET amount = amount + 1 WHERE position = 1")
    assert any(text.startswith("line 1: 1000.000 x") for text in verify(Invoice.objects.get(pk=invoice.pk)))


def test_the_command_exits_1_when_anything_differs(billed, capsys):
    call_command("verify_invoice", billed.invoice_number)
    assert "1 verified, all as issued" in capsys.readouterr().out
    with triggers_off("crm_invoice_lines") as cursor:
        cursor.execute("UPDATE crm_invoice_lines SET amount = amount + 1")
    with pytest.raises(SystemExit) as left:
        call_command("verify_invoice", "--all", "--json")
    assert left.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["checked"] == 1
    assert list(told["differ"]) == [billed.invoice_number]
    for wrong in ((), ("INV-1",), ("INV-1", "--all")):
        with pytest.raises(CommandError):
            call_command("verify_invoice", *wrong)
