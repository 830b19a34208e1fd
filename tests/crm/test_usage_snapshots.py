"""A month's evidence: every hour of the ledger once, by the site's own days, and for ever as it was."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum

from crm.billing.months import BadMonth, month_after, month_at, month_of
from crm.billing.snapshots import MonthNotOver, days_of, frozen_usage, take_snapshot
from crm.billing.usage import content_hash, inputs_of
from crm.models import UsageDay, UsageSnapshot
from hosting.energy import energy, total_kwh
from hosting.models import ElectricityPrice, ExcusedStretch, MinerHour
from tests.crm.billing_cast import METERED, OCTOBER, agree, run_machines

# Hours of the month, and of its longest or shortest day.
CLOCKS = [
    ("Europe/Berlin", date(2026, 3, 1), 743, {date(2026, 3, 29): 23}),
    ("Europe/Berlin", date(2026, 10, 1), 745, {date(2026, 10, 25): 25}),
    ("America/Chicago", date(2026, 3, 1), 743, {date(2026, 3, 8): 23}),
    ("Asia/Kolkata", date(2026, 10, 1), 744, {}),
]


@pytest.mark.parametrize(("zone", "month", "hours", "odd"), CLOCKS)
def test_the_days_of_a_month_are_its_ledger_to_the_last_digit(
    site, make_miner, client_a, client_b, zone, month, hours, odd
):
    site.time_zone = zone
    site.save()
    mine = [make_miner("A-1", client=client_a), make_miner("A-2", client=client_a)]
    other = make_miner("B-1", client=client_b)
    span = run_machines(site, [*mine, other], month)
    snapshot = take_snapshot(agree(client_a, site, starts_on=date(2025, 1, 1)), month)

    days = UsageDay.objects.filter(snapshot=snapshot)
    length = (month_after(month) - month).days
    assert days.count() == 2 * length
    ledger = MinerHour.objects.filter(client=client_a)
    assert days.aggregate(kwh=Sum("kwh"), s=Sum("period_s")) == {
        "kwh": ledger.aggregate(kwh=Sum("kwh"))["kwh"],
        "s": 2 * hours * 3600,
    }
    assert days.aggregate(kwh=Sum("kwh"))["kwh"] == total_kwh(energy(client_a, span.starts_at, span.ends_at))
    for day in days:
        assert day.period_s == odd.get(day.day, 24) * 3600
    per_day = {
        row.starts_at.astimezone(span.zone).date(): row.kwh for row in energy(mine[0], span.starts_at, span.ends_at)
    }
    assert per_day == {day.day: day.kwh for day in days.filter(miner=mine[0])}
    assert snapshot.inputs["hours"] == hours
    assert snapshot.inputs["hours_missing"] == 0
    assert snapshot.inputs["machine_hours_missing"] == 0


def test_the_same_month_is_the_same_row_until_the_ledger_says_something_else(site, make_miner, client_a):
    machine = make_miner("A-1", client=client_a)
    run_machines(site, [machine])
    contract = agree(client_a, site)
    first = take_snapshot(contract, OCTOBER)
    assert take_snapshot(contract, OCTOBER) == first
    assert UsageDay.objects.count() == 31

    earliest = MinerHour.objects.filter(miner_id=machine.pk).earliest("starts_at")
    MinerHour.objects.filter(miner_id=machine.pk, starts_at=earliest.starts_at).update(kwh=earliest.kwh + 1)
    second = take_snapshot(contract, OCTOBER)
    assert second != first
    assert UsageSnapshot.objects.count() == 2
    assert (
        UsageDay.objects.filter(snapshot=first).aggregate(kwh=Sum("kwh"))["kwh"] + 1
        == (UsageDay.objects.filter(snapshot=second).aggregate(kwh=Sum("kwh"))["kwh"])
    )


def test_what_is_read_back_is_what_was_hashed(site, make_miner, client_a):
    run_machines(site, [make_miner("A-1", client=client_a)])
    snapshot = take_snapshot(agree(client_a, site, **METERED, uptime_guarantee_pct=Decimal("98.5")), OCTOBER)
    usage = frozen_usage(snapshot)
    about = {key: snapshot.inputs[key] for key in ("contract", "client", "site", "time_zone", "correction")}
    assert inputs_of(usage, about) == snapshot.inputs
    assert content_hash(snapshot.inputs, days_of(snapshot)) == snapshot.content_hash
    assert usage.parts[0].terms.uptime_guarantee_pct == Decimal("98.500")


def test_hours_before_a_machine_was_theirs_are_not_billed(site, make_miner, client_a, client_b):
    machine = make_miner("A-1", client=client_a)
    span = run_machines(site, [machine])
    sold = span.starts_at + timedelta(days=10, hours=7)
    MinerHour.objects.filter(starts_at__lt=sold).update(client=client_b)
    kwh = {}
    for number, client in (("C-1", client_a), ("C-2", client_b)):
        usage = frozen_usage(take_snapshot(agree(client, site, number), OCTOBER))
        kwh[number] = sum(day.kwh for day in usage.days)
        shared = [day for day in usage.days if day.day == date(2026, 10, 11)]
        assert [day.period_s for day in shared] == [(17 if client == client_a else 7) * 3600]
    assert sum(kwh.values()) == MinerHour.objects.aggregate(kwh=Sum("kwh"))["kwh"]


def test_a_gap_is_unknown_and_never_zero(site, make_miner, client_a):
    machine = make_miner("A-1", client=client_a)
    span = run_machines(site, [machine])
    MinerHour.objects.filter(starts_at__lt=span.starts_at + timedelta(days=1)).update(
        kwh=None, source="gap", gap_s=3600, hashing_s=0, hashrate_samples=0, hashrate_ths_sum=None
    )
    first, second = sorted(frozen_usage(take_snapshot(agree(client_a, site), OCTOBER)).days, key=lambda day: day.day)[
        :2
    ]
    assert (first.kwh, first.source, first.gap_s, first.th_hours) == (None, "gap", 86_400, None)
    assert (second.source, second.gap_s) == ("miner", 0)


def test_excused_time_is_that_of_plans_and_tickets_and_at_most_what_did_not_hash(site, make_miner, client_a):
    machine = make_miner("A-1", client=client_a)
    span = run_machines(site, [machine])
    stopped = span.starts_at + timedelta(hours=12)
    ExcusedStretch.objects.create(
        miner=machine,
        site=site,
        client=client_a,
        starts_at=stopped,
        ends_at=stopped + timedelta(hours=3),
        source="curtailment:1",
    )
    # Two of the three hours it stood still; in the third it hashed on.
    MinerHour.objects.filter(starts_at__gte=stopped, starts_at__lt=stopped + timedelta(hours=2)).update(hashing_s=0)
    contract = agree(client_a, site)
    assert {day.day: day.excused_s for day in frozen_usage(take_snapshot(contract, OCTOBER)).days if day.excused_s} == {
        OCTOBER: 7200
    }
    contract.versions.update(curtailment_excused=False)
    assert not any(day.excused_s for day in frozen_usage(take_snapshot(contract, OCTOBER)).days)


def test_passed_through_electricity_costs_what_each_hour_cost(site, make_miner, client_a):
    run_machines(site, [make_miner("A-1", client=client_a)])
    span = month_at(OCTOBER, "UTC")
    noon = span.starts_at + timedelta(days=3, hours=12)
    ElectricityPrice.objects.create(
        site=site, price_per_kwh=Decimal("0.05"), valid_from=span.starts_at, valid_until=noon
    )
    ElectricityPrice.objects.create(site=site, price_per_kwh=Decimal("0.08"), valid_from=noon)
    contract = agree(client_a, site, pricing="pass_through", rate_per_kwh=Decimal("0.01"), minimum_kw=5)
    usage = frozen_usage(take_snapshot(contract, OCTOBER))
    expected = sum(
        round(kwh * (Decimal("0.05") if at < noon else Decimal("0.08")), 8)
        for at, kwh in MinerHour.objects.values_list("starts_at", "kwh")
    )
    assert sum(day.energy_cost for day in usage.days) == expected
    assert usage.parts[0].mean_price == ((84 * Decimal("0.05") + 660 * Decimal("0.08")) / 744).quantize(
        Decimal("0.000001")
    )

    ElectricityPrice.objects.filter(price_per_kwh=Decimal("0.05")).update(
        valid_from=span.starts_at + timedelta(hours=1)
    )
    days = sorted(frozen_usage(take_snapshot(contract, OCTOBER)).days, key=lambda day: day.day)
    assert days[0].energy_cost is None
    assert days[1].energy_cost is not None


def test_evidence_is_only_ever_added(site, make_miner, client_a):
    run_machines(site, [make_miner("A-1", client=client_a)])
    snapshot = take_snapshot(agree(client_a, site), OCTOBER)
    for statement in (
        "UPDATE crm_usage_days SET kwh = 0",
        "DELETE FROM crm_usage_days",
        "UPDATE crm_usage_snapshots SET content_hash = 'x'",
        "DELETE FROM crm_usage_snapshots",
    ):
        with pytest.raises(DatabaseError, match="stay as written"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert content_hash(snapshot.inputs, days_of(snapshot)) == snapshot.content_hash


def test_a_month_that_goes_on_is_not_frozen(site, client_a, time_machine):
    site.time_zone = "America/Chicago"
    site.save()
    contract = agree(client_a, site)
    time_machine.move_to("2026-11-01T04:59:00Z")
    with pytest.raises(MonthNotOver, match="2026-11-01 05:00 UTC"):
        take_snapshot(contract, OCTOBER)
    time_machine.move_to("2026-11-01T05:00:00Z")
    assert take_snapshot(contract, OCTOBER).month == OCTOBER


@pytest.mark.parametrize("text", ["2026", "2026-13", "10-2026", "october", "2026-1", "0000-01", ""])
def test_what_is_no_month_says_how_to_write_one(text):
    with pytest.raises(BadMonth, match="2026-10"):
        month_of(text)
