"""A month's run: previewed without a trace, issued once, whatever happens in between."""

import json
import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from crm.billing import runs
from crm.billing.bills import ALREADY, HELD, ISSUED
from crm.billing.letting_out import NotHeld, issue_draft, issue_held
from crm.billing.months import month_at
from crm.billing.runs import issue_run, preview_run
from crm.billing.snapshots import MonthNotOver
from crm.billing.unbilled import unbilled
from crm.invoicing import InvoiceRefused
from crm.models import BilledMonth, Invoice, InvoiceLine, UsageDay, UsageSnapshot
from crm.payments import credit_invoice
from crm.states import InvoiceKind
from events.models import OutboxEvent
from hosting.models import MinerHour, Site
from tests.crm.billing_cast import METERED, OCTOBER, agree, run_machines
from tests.crm.ledger_month import add_up_groups

SEPTEMBER, NOVEMBER = date(2026, 9, 1), date(2026, 11, 1)


@pytest.fixture
def month(site, make_miner, client_a, client_b):
    """Two customers' October; their contracts."""
    machines = [make_miner(f"A-{number}", client=client_a) for number in range(3)] + [
        make_miner("B-1", client=client_b)
    ]
    run_machines(site, machines)
    return agree(client_a, site, "C-A"), agree(client_b, site, "C-B")


def nothing_written() -> bool:
    return not (Invoice.objects.exists() or UsageSnapshot.objects.exists() or UsageDay.objects.exists())


def test_a_preview_leaves_no_trace_and_is_what_is_issued(month, admin):
    preview = preview_run(OCTOBER)
    assert nothing_written()
    run = issue_run(OCTOBER, by=admin)
    assert [bill.outcome for bill in run.bills] == [ISSUED, ISSUED]
    assert [bill.lines for bill in run.bills] == [bill.lines for bill in preview.bills]
    assert [bill.amount for bill in preview.bills] == [bill.invoice.amount for bill in run.bills]
    assert run.totals() == preview.totals()
    for bill in run.bills:
        kwh = MinerHour.objects.filter(client=bill.contract.client).aggregate(kwh=Sum("kwh"))["kwh"]
        assert bill.invoice.net == round(round(kwh, 3) * METERED["rate_per_kwh"], 2)
        assert bill.invoice.pdf_sha256
        assert (bill.invoice.period_start, bill.invoice.period_end) == (OCTOBER, NOVEMBER)
    assert OutboxEvent.objects.filter(event_type="invoice.issued").count() == 2


def test_a_second_run_changes_nothing(month, admin):
    def all_of_it():
        return [
            list(model.objects.order_by("pk").values())
            for model in (Invoice, InvoiceLine, UsageSnapshot, UsageDay, BilledMonth, OutboxEvent)
        ]

    issue_run(OCTOBER, by=admin)
    before = all_of_it()
    assert [bill.outcome for bill in issue_run(OCTOBER, by=admin).bills] == [ALREADY, ALREADY]
    assert all_of_it() == before


def test_a_ledger_that_changes_afterwards_makes_no_second_invoice(month, site, admin):
    first = issue_run(OCTOBER, by=admin)
    MinerHour.objects.update(kwh=9)
    again = issue_run(OCTOBER, by=admin)
    assert [bill.outcome for bill in again.bills] == [ALREADY, ALREADY]
    assert [bill.amount for bill in again.bills] == [bill.amount for bill in first.bills]
    assert Invoice.objects.count() == UsageSnapshot.objects.count() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        BilledMonth.objects.create(
            contract=month[0], month=OCTOBER, invoice=BilledMonth.objects.get(contract=month[1]).invoice
        )


def test_an_hour_that_nobody_computed_holds_the_invoice_back_until_it_is_there(month, site, admin):
    missing = MinerHour.objects.filter(client=month[0].client).earliest("starts_at").starts_at
    rows = list(MinerHour.objects.filter(starts_at=missing))
    MinerHour.objects.filter(starts_at=missing).delete()
    add_up_groups(site, missing, missing + timedelta(hours=1))
    held = issue_run(OCTOBER, by=admin)
    assert {bill.outcome for bill in held.bills} == {HELD}
    assert held.bills[0].holds == ("1 of 744 hours are not in the ledger: run rollup_telemetry",)
    drafts = set(Invoice.objects.values_list("invoice_number", "held_for"))
    assert len(drafts) == 2
    issue_run(OCTOBER, by=admin)
    assert set(Invoice.objects.values_list("invoice_number", "held_for")) == drafts

    MinerHour.objects.bulk_create(rows)
    add_up_groups(site, missing, missing + timedelta(hours=1))
    assert {bill.outcome for bill in issue_run(OCTOBER, by=admin).bills} == {ISSUED}
    assert Invoice.objects.filter(status="draft").count() == 0
    assert sorted(Invoice.objects.values_list("invoice_number", flat=True)) == ["INV-2026-00001", "INV-2026-00002"]


@pytest.mark.parametrize(("gap_hours", "held"), [(44, False), (45, True)])
def test_below_98_percent_read_somebody_looks_first(month, admin, gap_hours, held):
    """Three machines have 2232 hours: 44 of them are 1.97 %, 45 are 2.02 %."""
    hours = MinerHour.objects.filter(client=month[0].client).order_by("starts_at", "miner_id")[:gap_hours]
    for row in hours:
        MinerHour.objects.filter(starts_at=row.starts_at, miner_id=row.miner_id).update(
            kwh=None, source="gap", gap_s=3600, hashing_s=0
        )
    bill = issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0]
    assert bill.outcome == (HELD if held else ISSUED)
    if held:
        assert bill.holds == ("only 97.983 % of the machines' time was read, 98 % are needed",)


def test_whoever_lets_a_held_draft_out_says_why(month, site, admin):
    MinerHour.objects.filter(client=month[0].client).update(gap_s=1800)
    held = issue_run(OCTOBER, by=admin).bills[0].invoice
    with pytest.raises(NotHeld, match="Say why"):
        issue_held(held, reason=" ", by=admin)
    assert Invoice.objects.get(pk=held.pk).status == "draft"
    issued = issue_held(held, reason="Meter read by hand", by=admin)
    assert (issued.status, issued.held_for, bool(issued.pdf_sha256)) == ("sent", None, True)
    billed = BilledMonth.objects.get(invoice=issued)
    assert (billed.override_reason, billed.overridden_by) == ("Meter read by hand", admin)
    with pytest.raises(NotHeld):
        issue_held(held, reason="again", by=admin)
    assert issue_run(OCTOBER, by=admin).bills[0].outcome == ALREADY


def test_a_run_that_was_killed_goes_on_where_it_stopped(month, admin, monkeypatch):
    class Killed(BaseException):
        pass

    def die(done, total):
        raise Killed

    with pytest.raises(Killed):
        issue_run(OCTOBER, by=admin, progress=die)
    assert Invoice.objects.count() == 1
    # Killed between the number and the PDF.
    monkeypatch.setattr(runs, "store_pdf", lambda _invoice: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        issue_run(OCTOBER, by=admin)
    assert Invoice.objects.filter(status="sent", pdf_sha256=None).count() == 1
    monkeypatch.undo()
    assert [bill.outcome for bill in issue_run(OCTOBER, by=admin).bills] == [ALREADY, ALREADY]
    assert Invoice.objects.filter(status="sent", pdf_sha256__isnull=False).count() == 2
    assert sorted(Invoice.objects.values_list("invoice_number", flat=True)) == ["INV-2026-00001", "INV-2026-00002"]


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_make_one_invoice_each(month, admin):
    outcomes, failures = [], []
    ready = threading.Barrier(2)

    def run():
        try:
            ready.wait(30)
            outcomes.extend(bill.outcome for bill in issue_run(OCTOBER, by=admin).bills)
        except Exception as error:  # noqa: BLE001  the main thread reports it
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    assert sorted(outcomes) == [ALREADY, ALREADY, ISSUED, ISSUED]
    assert Invoice.objects.count() == BilledMonth.objects.count() == 2


def test_a_credited_month_can_be_billed_once_more(month, admin):
    from crm.invoicing import DraftLine, draft_invoice, issue_invoice
    from crm.states import LineKind

    wrong = issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0].invoice
    line = DraftLine(LineKind.OTHER, "Reversal", Decimal(1), "", -wrong.net, -wrong.net)
    note = draft_invoice(client=wrong.client, lines=[line], kind=InvoiceKind.CREDIT_NOTE, reverses=wrong, by=admin)
    assert issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0].outcome == ALREADY
    issue_invoice(note, by=admin)
    assert issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0].outcome == ISSUED
    assert issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0].outcome == ALREADY
    assert list(BilledMonth.objects.order_by("correction").values_list("correction", flat=True)) == [0, 1]


def test_deposit_and_setup_come_with_the_first_invoice_only(site, make_miner, client_a, admin):
    machine = make_miner("A-1", client=client_a)
    agree(client_a, site, **METERED, deposit=Decimal(500), setup_fee=Decimal(50), starts_on=SEPTEMBER)
    kinds = []
    for first in (SEPTEMBER, OCTOBER):
        run_machines(site, [machine], first)
        kinds.append([line.kind for line in issue_run(first, by=admin).bills[0].lines])
    assert kinds == [["energy", "deposit", "setup"], ["energy"]]


@pytest.fixture
def deposit_due(site, make_miner, client_a):
    """One machine from September on, with a deposit on the first invoice."""
    machine = make_miner("A-1", client=client_a)
    for first in (SEPTEMBER, OCTOBER):
        run_machines(site, [machine], first)
    return agree(client_a, site, **METERED, deposit=Decimal(500), starts_on=SEPTEMBER)


def deposits() -> list[Decimal]:
    return list(InvoiceLine.objects.filter(kind="deposit").order_by("pk").values_list("amount", flat=True))


def test_a_deposit_that_was_credited_with_its_month_is_asked_for_again(deposit_due, admin):
    first = issue_run(SEPTEMBER, by=admin).bills[0].invoice
    issue_run(OCTOBER, by=admin)
    credit_invoice(first, reason="wrong rate", by=admin)
    issue_run(SEPTEMBER, by=admin)
    assert deposits() == [500, -500, 500]
    assert [bill.outcome for bill in issue_run(OCTOBER, by=admin).bills] == [ALREADY]


def test_a_held_draft_whose_deposit_another_month_took_does_not_go_out(deposit_due, admin):
    MinerHour.objects.filter(starts_at__lt=month_at(SEPTEMBER, "UTC").ends_at).update(gap_s=1800)
    held = issue_run(SEPTEMBER, by=admin).bills[0].invoice
    issue_run(OCTOBER, by=admin)
    with pytest.raises(InvoiceRefused, match="issue_invoices --month 2026-09"):
        issue_held(held, reason="Meter read by hand", by=admin)
    anew = issue_run(SEPTEMBER, by=admin).bills[0].invoice
    assert issue_held(anew, reason="Meter read by hand", by=admin).status == "sent"
    assert deposits() == [500]


def test_a_held_draft_that_its_terms_have_left_goes_out_by_no_door(month, site, admin):
    """Whoever lets it out has looked at what the month comes to now."""
    MinerHour.objects.filter(client=month[0].client).update(gap_s=1800)
    held = issue_run(OCTOBER, by=admin).bills[0].invoice
    month[0].versions.update(rate_per_kwh=Decimal("0.05"))
    with pytest.raises(InvoiceRefused, match="other figures"):
        issue_held(held, reason="Meter read by hand", by=admin)
    Invoice.objects.filter(pk=held.pk).update(held_for=None)
    with pytest.raises(InvoiceRefused, match="other figures"):
        issue_draft(held, by=admin)
    assert Invoice.objects.get(pk=held.pk).status == "draft"
    anew = issue_run(OCTOBER, by=admin).bills[0].invoice
    assert issue_held(anew, reason="Meter read by hand", by=admin).lines.get().unit_price == Decimal("0.05")


def test_one_draft_that_is_refused_does_not_stop_the_others(month, admin):
    MinerHour.objects.filter(client=month[0].client).update(gap_s=1800)
    held = issue_run(OCTOBER, by=admin, clients=[month[0].client]).bills[0].invoice
    held.lines.all().delete()
    Invoice.objects.filter(pk=held.pk).update(held_for=None, net=0, amount=0)
    refused, other = issue_run(OCTOBER, by=admin).bills
    assert (refused.outcome, other.outcome) == (HELD, ISSUED)
    assert "no lines" in refused.holds[-1]


def test_a_month_that_goes_on_is_previewed_and_not_issued(month, admin, time_machine):
    time_machine.move_to("2026-10-20T00:00:00Z")
    assert preview_run(OCTOBER).bills[0].lines
    with pytest.raises(MonthNotOver):
        issue_run(OCTOBER, by=admin)
    assert nothing_written()


def test_machines_that_no_contract_bills_are_told(site, make_miner, client_a, client_b, capsys):
    """To the hour at both ends: A's contract begins on the 10th, B has none, and a machine of the farm's own is nobody's."""
    site.time_zone = "America/Chicago"
    site.save()
    run_machines(site, [make_miner("A-1", client=client_a), make_miner("B-1", client=client_b), make_miner("F-1")])
    agree(client_a, site, starts_on=date(2026, 10, 10), ends_on=date(2026, 10, 31))
    found = unbilled(OCTOBER)
    assert [(one.client, one.hours) for one in found] == [("client-a", 10 * 24), ("client-b", 744)]
    theirs = MinerHour.objects.filter(client=client_b).aggregate(kwh=Sum("kwh"))["kwh"]
    assert found[1].kwh == theirs
    assert unbilled(OCTOBER, clients=[client_b]) == found[1:]
    assert unbilled(OCTOBER, site=Site.objects.create(name="South")) == []
    call_command("issue_invoices", "--month", "2026-10", "--dry-run")
    assert "client-b at North: 744 hours" in capsys.readouterr().out
    call_command("issue_invoices", "--month", "2026-10", "--dry-run", "--json")
    assert len(json.loads(capsys.readouterr().out)["without_contract"]) == 2


def test_only_what_is_asked_for(month, make_miner, client_a, admin):
    other = Site.objects.create(name="South")
    agree(client_a, other, "C-S")
    assert [bill.contract.number for bill in preview_run(OCTOBER).bills] == ["C-A", "C-B", "C-S"]
    assert [bill.contract.number for bill in preview_run(OCTOBER, site=other).bills] == ["C-S"]
    assert [bill.contract.number for bill in preview_run(OCTOBER, clients=[client_a]).bills] == ["C-A", "C-S"]
    assert preview_run(date(2025, 10, 1)).bills == []
    assert preview_run(OCTOBER, site=other).bills[0].holds == (
        "744 of 744 hours are not in the ledger: run rollup_telemetry",
        "no machine of the customer is in the ledger",
    )


def test_the_command_says_what_it_did(month, capsys):
    call_command("issue_invoices", "--month", "2026-10", "--dry-run")
    assert "2 contracts, 0 to be looked at; nothing was written" in capsys.readouterr().out
    call_command("issue_invoices", "--month", "2026-10", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["issued"], told["held"], told["bills"][0]["invoice"]) == (2, 0, "INV-2026-00001")
    call_command("issue_invoices", "--month", "2026-10", "--client", month[0].client.email)
    assert "0 issued, 1 issued before, 0 held as drafts" in capsys.readouterr().out
    for wrong, told in (
        (("--month", "october"), "write it as 2026-10"),
        (("--month", "9999-12"), "write it as 2026-10"),
        (("--month", "2099-12"), "preview it"),
        (("--month", "2026-10", "--site", "nowhere"), r"Sites: North \("),
        (("--month", "2026-10", "--site", ""), r"No site ''"),
        (("--month", "2026-10", "--client", "x"), "see Users"),
    ):
        with pytest.raises(CommandError, match=told):
            call_command("issue_invoices", *wrong)
