"""Which machines of a site can be stopped, with what baseline, and why the others cannot."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from curtailment.candidates import borne_kwh, field_of
from curtailment.models import CurtailmentPlan, MinerTier, PlanMiner
from hosting.models import ExcusedStretch, MinerCommand, MinerIdentity
from tests.curtailment.raw_plans import unguarded


@pytest.fixture
def look(site, now):
    def look_at(**options):
        starts_at = now + timedelta(hours=options.pop("start_h", 1))
        return field_of(site, starts_at, starts_at + timedelta(hours=options.pop("hours", 2)), now=now, **options)

    return look_at


@pytest.fixture
def plan_of(site, now):
    """A live plan that stops these machines, from one hour ahead unless told otherwise."""

    def make(*miners, start_h: float = 1, end_h: float = 2, role: str = "selected", **fields):
        targets = fields.pop("targets", {"live": True})
        starts_at, ends_at = now + timedelta(hours=start_h), now + timedelta(hours=end_h)
        with unguarded():
            plan = CurtailmentPlan.objects.create(
                site=site, scheduled_time=starts_at, recovery_time=ends_at, reason="test", content_hash="x", **fields
            )
            for place, miner in enumerate(miners, 1):
                PlanMiner.objects.create(
                    plan=plan,
                    miner=miner,
                    client=miner.client,
                    shutdown_order=place,
                    role=role,
                    window=DateTimeTZRange(starts_at, ends_at),
                    baseline_w=3000,
                    hashrate_ths=100,
                    **targets,
                )
        return plan

    return make


def test_the_baseline_is_the_median_of_the_ten_newest_good_readings(running, read, look):
    miner = running("A-1", 3000, 100, client=None)
    read(miner, 9000, 300, first=11, last=14)  # older than the ten newest
    read(miner, 3000, 100, first=0, last=0)
    found = look()
    assert [one.baseline_w for one in found.candidates] == [3000.0]
    assert found.baselines[miner.pk] == Decimal("3000.00")
    assert found.hashrates[miner.pk] == Decimal("100.00")


def test_a_single_odd_reading_does_not_move_the_baseline(running, read, look):
    miner = running("A-1", 3000, 100)
    read(miner, 6000, 10, first=0, last=0)
    assert look().baselines[miner.pk] == Decimal("3000.00")


def test_readings_without_power_or_hash_are_no_good_ones(make_miner, read, look):
    miner = make_miner("A-1", cgminer_enabled=True, cgminer_ip="127.20.0.9")
    read(miner, None, 100, first=5, last=14)
    read(miner, 3100, 100, first=1, last=4)
    assert look().baselines[miner.pk] == Decimal("3100.00")


def test_every_machine_that_is_left_out_has_its_reason(running, read, make_miner, look, now, admin):
    running("RUNS")
    dark = make_miner("DARK", cgminer_enabled=True, cgminer_ip="127.20.9.1")
    silent = make_miner("SILENT", cgminer_enabled=True, cgminer_ip="127.20.9.2")
    read(silent, first=6, last=14)
    phantom = running("PHANTOM", 2800, 0)
    unknown = running("UNKNOWN", None, 100)
    repaired = running("REPAIRED", status="maintenance")
    homeless = running("HOMELESS", cgminer_ip=None)
    swapped = running("SWAPPED")
    MinerIdentity.objects.create(miner=swapped, mismatch="serial number X")
    odd = running("ODD", miner_model=None)
    MinerIdentity.objects.create(miner=odd, make="Homebrew", model="One")
    found = look()
    reasons = {found.serials[pk]: why for pk, why in found.left_out.items()}
    assert [found.serials[one.miner_id] for one in found.candidates] == ["RUNS"]
    assert reasons["DARK"] == "it has never answered"
    assert reasons["SILENT"] == "it does not answer"
    assert reasons["PHANTOM"] == "it does not hash: stopping it saves nothing that counts"
    assert reasons["UNKNOWN"] == "its power is not known"
    assert reasons["REPAIRED"] == "it is in maintenance: somebody may have their hands in it"
    assert reasons["HOMELESS"] == "it has no address: enter one"
    assert reasons["SWAPPED"].startswith("another machine answers at its address (serial number X)")
    assert reasons["ODD"] == "MineFarm cannot command its firmware"
    assert {dark.pk, silent.pk, phantom.pk, unknown.pk, repaired.pk, homeless.pk, swapped.pk, odd.pk} == set(
        found.left_out
    )


def test_a_retired_machine_is_not_of_the_site_any_more(running, look, now):
    from hosting.models import Miner

    miner = running("OLD")
    Miner.objects.filter(pk=miner.pk).update(retired_at=now, cgminer_enabled=False)
    assert look().serials == {}


def test_a_machine_with_an_order_under_way_is_left_alone(running, look, admin, now):
    from hosting.commands.ordering import order_machines
    from hosting.control.orders import Order
    from hosting.models import Miner

    miner = running("A-1")
    order_machines(Miner.objects.filter(pk=miner.pk), Order.REBOOT, reason="test", by=None)
    assert MinerCommand.objects.get().status == "queued"
    assert look().left_out == {miner.pk: "another command to it is under way"}


def test_a_machine_of_another_live_plan_of_that_time_is_left_out(running, look, plan_of):
    miner = running("A-1")
    plan = plan_of(miner, start_h=2, end_h=4)
    assert look().left_out == {miner.pk: f"plan {plan.pk} stops it in that time"}
    assert [one.miner_id for one in look(hours=1).candidates] == [miner.pk]  # one ends where the other begins
    assert [one.miner_id for one in look(but_plan=plan.pk).candidates] == [miner.pk]


def test_reserves_and_plans_that_nobody_approved_claim_nothing(running, look, plan_of):
    reserve, draft = running("A-1"), running("A-2")
    plan_of(reserve, role="reserve")
    plan_of(draft, targets={"live": False})
    assert {one.miner_id for one in look().candidates} == {reserve.pk, draft.pk}


def test_a_plan_of_higher_priority_that_lasts_longer_holds_the_machine(running, look, plan_of):
    miner = running("A-1")
    plan = plan_of(miner, end_h=2)
    for priority in ("high", "emergency"):
        found = look(priority=priority)
        assert [(one.candidate.miner_id, one.plan_id) for one in found.held] == [(miner.pk, plan.pk)]
        assert found.candidates == []
        assert found.baselines[miner.pk] == Decimal("3000.00")
    assert look(priority="high", hours=1).held == []  # it would not last longer


def test_a_plan_of_equal_priority_holds_nothing(running, look, plan_of):
    plan_of(running("A-1"), end_h=2, priority="high")
    assert look(priority="high").held == []
    assert len(look(priority="emergency").held) == 1


def test_a_machine_rests_after_a_plan_as_long_as_the_site_says(running, look, plan_of, now):
    rested, tired, never_stopped = running("A-1"), running("A-2"), running("A-3")
    past = {"start_h": -3, "end_h": -2}
    for miner, minutes in ((rested, 11), (tired, 9)):
        at = now - timedelta(minutes=minutes)
        plan_of(miner, **past, targets={"live": False, "state": "done", "restoring_at": at, "ended_at": at})
    plan_of(never_stopped, **past, targets={"live": False, "state": "released", "ended_at": now})
    found = look(start_h=0)
    assert {one.miner_id for one in found.candidates} == {rested.pk, never_stopped.pk}
    assert found.left_out == {tired.pk: "it rests after the last plan"}
    assert len(look(start_h=1).candidates) == 3


def test_a_machine_that_wakes_before_counts_with_its_plans_baseline(running, look, plan_of, read):
    asleep = running("A-1", status="curtailed")
    read(asleep, 20, 0, first=0, last=0)
    plan_of(asleep, start_h=-1, end_h=0.5, recovery_state="scheduled", targets={"live": True, "state": "confirmed"})
    assert [one.baseline_w for one in look().candidates] == [3000.0]
    elsewhere = running("A-2", status="curtailed")
    assert look().left_out == {elsewhere.pk: "it is curtailed already"}


def test_a_machine_whose_orders_need_a_login_needs_one(running, look, settings, catalogue):
    settings.MINEFARM_FACTORY_LOGINS = False
    miner, other = running("A-1"), running("A-2", miner_model=catalogue.get(name="A1466"))
    assert look().left_out == {miner.pk: "no login is known for it: add one (Miner logins)"}
    assert [one.miner_id for one in look().candidates] == [other.pk]


def test_a_machines_own_tier_goes_before_its_clients(running, look, client_a):
    ordinary, own = running("A-1", client=client_a), running("A-2", client=client_a)
    MinerTier.objects.create(client=client_a, tier="vip")
    MinerTier.objects.create(miner=own, tier="protected")
    farm = running("F-1")
    assert {one.miner_id: one.tier for one in look().candidates} == {
        ordinary.pk: "vip",
        own.pk: "protected",
        farm.pk: "standard",
    }


def test_the_margin_is_what_hashing_earns_beyond_its_power(running, look, worth, settings):
    settings.POOL_FEE_PERCENT = 0
    running("A-1", 3000, 100)
    (one,) = look().candidates
    assert one.margin_usd_per_h == pytest.approx(50 * 0.1 / 24 - 3 * 0.1)


def test_without_a_price_the_margin_is_unknown(running, look):
    running("A-1")
    assert look().candidates[0].margin_usd_per_h is None


def test_a_site_of_many_machines_takes_as_many_queries_as_one_of_few(running, look):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    running("A-0")
    with CaptureQueriesContext(connection) as few:
        look()
    for number in range(1, 12):
        running(f"A-{number}")
    with CaptureQueriesContext(connection) as many:
        assert len(look().candidates) == 12
    assert len(many) == len(few)


def test_what_a_client_has_borne_is_measured_or_planned(running, plan_of, site, now, client_a, client_b):
    settled, under_way = running("A-1", client=client_a), running("B-1", client=client_b)
    for days, kwh in ((2, "12.5"), (40, "99")):
        ExcusedStretch.objects.create(
            miner=settled,
            site=site,
            client=client_a,
            starts_at=now - timedelta(days=days),
            ends_at=now - timedelta(days=days) + timedelta(hours=1),
            source=f"curtailment:{days}",
            kwh_avoided=Decimal(kwh),
        )
    plan_of(
        under_way,
        start_h=-1,
        end_h=1,
        recovery_state="scheduled",
        targets={"live": True, "state": "confirmed", "confirmed_at": now - timedelta(minutes=30)},
    )
    borne = borne_kwh(site, now)
    assert borne[str(client_a.pk)] == pytest.approx(12.5)
    assert borne[str(client_b.pk)] == pytest.approx(1.5)
