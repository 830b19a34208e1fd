"""Drafts that write nothing, plans that are their draft written down, and changes that void what was approved."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from curtailment.content import content_hash
from curtailment.drafting import Ask, WrongPlan, draft_plan, miner_ids
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from curtailment.moments import NoSuchTime, site_moment
from curtailment.planning import KeyReused, NotAllowed, StaleVersion, ask_of, create_plan, edit_plan
from curtailment.states import Priority, Strategy
from events.models import OutboxEvent
from tests.curtailment.raw_plans import unguarded


@pytest.fixture
def ask(site, now) -> Ask:
    """3 kW from one hour ahead for two hours."""
    starts_at = now + timedelta(hours=1)
    return Ask(
        site=site,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=2),
        target_mw=Decimal("0.003"),
        reason="the grid asked for it",
    )


@pytest.fixture
def farm(running, client_a, client_b):
    return [
        running("A-1", 3250, 95, client=client_a),
        running("A-2", 3068, 104, client=client_a),
        running("B-1", 3500, 200, client=client_b),
    ]


def test_a_draft_says_what_would_stop_and_writes_nothing(farm, ask):
    draft = draft_plan(ask)
    assert [one.miner_id for one in draft.selection.chosen] == [farm[0].pk]
    assert [one.miner_id for one in draft.selection.reserve] == [farm[1].pk, farm[2].pk]
    assert draft.planned_mw == Decimal("0.00325")
    assert not CurtailmentPlan.objects.exists()
    assert draft_plan(ask).preview == draft.preview


def test_a_plan_is_its_draft_in_order_with_owners_and_time(farm, ask, operator, client_a):
    plan = create_plan(draft_plan(ask), by=operator)
    plan.refresh_from_db()
    assert (plan.status, plan.recovery_state, plan.version) == ("pending", "none", 1)
    assert (plan.miners_affected, plan.planned_reduction) == (1, Decimal("0.003250"))
    assert plan.created_by == operator
    rows = list(plan.targets.order_by("shutdown_order"))
    assert [(row.miner_id, row.shutdown_order, row.role) for row in rows] == [
        (farm[0].pk, 1, "selected"),
        (farm[1].pk, 2, "reserve"),
        (farm[2].pk, 3, "reserve"),
    ]
    assert rows[0].client == client_a
    assert (rows[0].baseline_w, rows[0].hashrate_ths) == (Decimal("3250.00"), Decimal("95.00"))
    assert (rows[0].window.lower, rows[0].window.upper) == (ask.starts_at, ask.ends_at)
    assert not any(row.live for row in rows)
    assert plan.content_hash == content_hash(plan)
    event = OutboxEvent.objects.get(event_type="curtailment.plan_created")
    assert (
        event.payload["data"]["plan_id"] == plan.pk if "data" in event.payload else event.payload["plan_id"] == plan.pk
    )


def test_the_hash_is_of_everything_that_an_approver_sees(farm, ask):
    plan = create_plan(draft_plan(ask), by=None)
    plan.refresh_from_db()
    seen = content_hash(plan)
    for column, value in (
        ("reason", "another"),
        ("recovery_time", plan.recovery_time + timedelta(seconds=1)),
        ("scheduled_time", plan.scheduled_time - timedelta(seconds=1)),
        ("target_power_reduction", Decimal("0.003001")),
        ("priority", "high"),
        ("version", 2),
        ("miners_affected", 2),
    ):
        before = getattr(plan, column)
        setattr(plan, column, value)
        assert content_hash(plan) != seen, column
        setattr(plan, column, before)
    rows = list(plan.targets.order_by("shutdown_order"))
    assert content_hash(plan, rows[::-1]) != seen
    rows[0].role = "reserve"  # a machine that was called up or sent back changes nothing of what was approved
    assert content_hash(plan, rows) == seen


def test_the_preview_reckons_in_money(farm, ask, worth, settings):
    settings.POOL_FEE_PERCENT = 0
    shown = draft_plan(ask).preview
    assert shown["machines"] == 1
    assert shown["power_kw"] == 3.25
    assert shown["hashrate_ths"] == 95.0
    assert shown["saved_usd_per_h"] == "0.32"  # 3.25 kW at 10 ct
    assert shown["forgone_usd_per_h"] == "0.20"  # 0.095 PH/s at $50 a day
    assert shown["restart_usd"] == "0.03"  # ten minutes of it
    assert shown["pays_after_minutes"] == 16  # 0.0330 / (0.325 - 0.1979) h
    assert shown["worth_usd"] == "0.22"
    assert shown["up_minutes"] == 10
    assert shown["clients"] == [{"client": "client-a", "machines": 1, "power_kw": 3.25}]


def test_what_earns_more_than_its_power_costs_never_pays(running, ask, worth):
    running("NEW", 3500, 270)
    shown = draft_plan(ask).preview
    assert Decimal(shown["forgone_usd_per_h"]) > Decimal(shown["saved_usd_per_h"])
    assert shown["pays_after_minutes"] is None
    assert shown["worth_usd"].startswith("-")


def test_money_is_unknown_without_a_price_or_a_market(farm, ask):
    shown = draft_plan(ask).preview
    for name in ("price_usd_per_mwh", "saved_usd_per_h", "forgone_usd_per_h", "restart_usd", "worth_usd"):
        assert shown[name] is None, name
    assert shown["pays_after_minutes"] is None


def test_the_way_up_takes_the_sites_waves(running, ask, site):
    for number in range(25):
        running(f"A-{number}", 3000, 100)
    SitePolicy.objects.create(site=site, wake_wave=5, wake_every_s=60)
    shown = draft_plan(replace(ask, target_mw=Decimal("0.075"))).preview
    assert (shown["machines"], shown["up_minutes"]) == (25, 4 + 10)
    SitePolicy.objects.update(up_mw_per_min=Decimal("0.005"))
    assert draft_plan(replace(ask, target_mw=Decimal("0.075"))).preview["up_minutes"] == 15 + 10


def test_machines_left_out_are_counted_and_named(farm, running, ask):
    idle = running("IDLE", 2800, 0)
    shown = draft_plan(ask).preview
    assert shown["left_out"] == {"it does not hash: stopping it saves nothing that counts": 1}
    assert shown["left_out_machines"] == [
        [idle.serial_number, "it does not hash: stopping it saves nothing that counts"]
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"reason": " "}, "Say why"),
        ({"reason": "x" * 501}, "at most 500 characters"),
        ({"target_mw": Decimal(0)}, "MW above 0"),
        ({"target_mw": Decimal(-1)}, "MW above 0"),
        ({"target_mw": None}, "name the machines"),
        ({"strategy": Strategy.LISTED}, "Name the machines"),
        ({"miners": frozenset([99_999_999])}, "Not machines of North: 99999999"),
    ],
)
def test_what_cannot_be_planned_says_what_to_give(farm, ask, change, told):
    with pytest.raises(WrongPlan, match=told):
        draft_plan(replace(ask, **change))


def test_the_time_of_a_plan_lies_ahead_and_within_the_sites_limit(farm, ask, now):
    for change, told in (
        ({"ends_at": ask.starts_at}, "give a later end"),
        ({"starts_at": now - timedelta(hours=3), "ends_at": now + timedelta(minutes=5)}, "start has passed"),
        ({"starts_at": now - timedelta(minutes=10), "ends_at": now - timedelta(minutes=5)}, "end has passed"),
        ({"ends_at": ask.starts_at + timedelta(minutes=241)}, "at most 240 minutes"),
    ):
        with pytest.raises(WrongPlan, match=told):
            draft_plan(replace(ask, **change))
    draft = draft_plan(replace(ask, starts_at=now - timedelta(minutes=1)))
    assert draft.ask.starts_at >= now  # a plan for now begins now


def test_a_site_with_nothing_to_stop_gets_no_plan_and_the_reasons(running, ask, operator):
    running("IDLE", 2800, 0)
    with pytest.raises(WrongPlan, match="No machine of North can be stopped: 1 because it does not hash"):
        create_plan(draft_plan(ask), by=operator)
    assert not CurtailmentPlan.objects.exists()


def test_named_machines_alone_are_stopped_whatever_they_draw(farm, ask):
    draft = draft_plan(
        replace(ask, target_mw=None, strategy=Strategy.LISTED, miners=frozenset([farm[1].pk, farm[2].pk]))
    )
    plan = create_plan(draft, by=None)
    assert [row.miner_id for row in plan.targets.order_by("shutdown_order")] == [farm[1].pk, farm[2].pk]
    assert plan.planned_reduction == Decimal("0.006568")
    assert plan.preview["left_out"] == {}


def test_machines_are_named_by_serial_number_or_id(farm, site):
    assert miner_ids(["A-1", str(farm[2].pk)], site) == {farm[0].pk, farm[2].pk}
    with pytest.raises(WrongPlan, match="Not machines of North: Z-9"):
        miner_ids(["A-1", "Z-9"], site)


def test_who_may_not_plan_makes_none(farm, ask, client_a, guest, operator, admin):
    from accounts.models import SiteLimit
    from hosting.models import Site

    for stranger in (client_a, guest):
        with pytest.raises(NotAllowed):
            create_plan(draft_plan(ask), by=stranger)
    SiteLimit.objects.create(user=operator, site_id=Site.objects.create(name="South").pk)
    with pytest.raises(NotAllowed, match="not yours"):
        create_plan(draft_plan(ask), by=type(operator).objects.get(pk=operator.pk))
    assert not CurtailmentPlan.objects.exists()


def test_the_same_key_gives_the_plan_of_the_first_time(farm, ask, operator, admin):
    first = create_plan(draft_plan(ask), idempotency_key="k", by=operator)
    assert create_plan(draft_plan(ask), idempotency_key="k", by=operator).pk == first.pk
    with pytest.raises(KeyReused):
        create_plan(draft_plan(replace(ask, target_mw=Decimal("0.006"))), idempotency_key="k", by=operator)
    with pytest.raises(KeyReused):
        create_plan(draft_plan(replace(ask, priority="high")), idempotency_key="k", by=operator)
    with pytest.raises(KeyReused):
        create_plan(draft_plan(ask), idempotency_key="k", by=admin)
    assert CurtailmentPlan.objects.count() == 1


def test_an_edit_selects_anew_and_voids_the_approval(farm, ask, operator, admin):
    plan = create_plan(draft_plan(ask), by=operator)
    PlanApproval.objects.create(plan=plan, kind="approval", version=1, content_hash=plan.content_hash, approver=admin)
    CurtailmentPlan.objects.filter(pk=plan.pk).update(status="approved")
    plan.refresh_from_db()
    before = plan.content_hash
    edited = edit_plan(plan, version=1, by=operator, target_mw=Decimal("0.006"))
    assert (edited.status, edited.version, edited.miners_affected) == ("pending", 2, 2)
    assert edited.content_hash != before
    assert edited.content_hash == content_hash(edited)
    assert PlanApproval.objects.get().voided_at is not None
    assert edited.targets.filter(role="selected").count() == 2
    assert OutboxEvent.objects.filter(event_type="curtailment.plan_edited").count() == 1


def test_an_edit_of_a_version_that_somebody_else_changed_is_refused(farm, ask, operator, admin):
    plan = create_plan(draft_plan(ask), by=operator)
    edit_plan(plan, version=1, by=operator, reason="first")
    with pytest.raises(StaleVersion):
        edit_plan(plan, version=1, by=admin, reason="second")
    plan.refresh_from_db()
    assert (plan.reason, plan.version) == ("first", 2)


@pytest.mark.parametrize("status", ["executing", "executed", "cancelled"])
def test_what_has_begun_or_is_over_is_not_edited(farm, ask, operator, status):
    plan = create_plan(draft_plan(ask), by=operator)
    rows = list(plan.targets.values_list("pk", flat=True))
    for step in {"executing": ["approved"], "executed": ["approved", "executing"], "cancelled": []}[status] + [status]:
        with unguarded():
            CurtailmentPlan.objects.filter(pk=plan.pk).update(status=step)
    with pytest.raises(StaleVersion):
        edit_plan(plan, version=1, by=operator, reason="late")
    assert list(plan.targets.values_list("pk", flat=True)) == rows


def test_only_its_creator_and_approvers_edit_a_plan(farm, ask, operator, make_user, admin):
    plan = create_plan(draft_plan(ask), by=operator)
    with pytest.raises(NotAllowed):
        edit_plan(plan, version=1, by=make_user("user", "second-operator"), reason="mine now")
    assert edit_plan(plan, version=1, by=admin, reason="better said").version == 2


def test_named_machines_stay_named_when_a_plan_is_edited(farm, running, ask):
    idle = running("IDLE", 2800, 0)
    named = frozenset([farm[0].pk, idle.pk])
    plan = create_plan(draft_plan(replace(ask, miners=named)), by=None)
    assert ask_of(plan).miners == named
    edited = edit_plan(plan, version=1, by=None, priority=Priority.HIGH)
    assert [row.miner_id for row in edited.targets.all()] == [farm[0].pk]
    assert edited.preview["left_out_machines"][0][0] == "IDLE"


def test_an_edit_that_finds_nothing_leaves_the_plan_as_it_was(farm, ask, operator):
    from hosting.models import MinerLatest

    plan = create_plan(draft_plan(ask), by=operator)
    MinerLatest.objects.update(seen_at=None)
    with pytest.raises(WrongPlan):
        edit_plan(plan, version=1, by=operator, reason="later")
    plan.refresh_from_db()
    assert (plan.version, plan.targets.count()) == (1, 3)


def test_machines_held_for_another_plan_count_for_none(farm, ask):
    first = create_plan(draft_plan(ask), by=None)
    with unguarded():
        PlanMiner.objects.filter(plan=first, role="selected").update(live=True)
    later = replace(ask, ends_at=ask.ends_at + timedelta(hours=1), priority=Priority.EMERGENCY)
    plan = create_plan(draft_plan(later), by=None)
    roles = dict(plan.targets.values_list("miner_id", "role"))
    assert roles == {farm[0].pk: "held", farm[1].pk: "selected", farm[2].pk: "reserve"}
    assert plan.targets.order_by("shutdown_order").last().role == "held"
    assert plan.planned_reduction == Decimal("0.003068")
    assert plan.preview["held"] == 1


# --- the site's clock ---------------------------------------------------------------------------------------------------


@pytest.fixture
def berlin(site):
    site.time_zone = "Europe/Berlin"
    site.save()
    return site


def test_times_without_an_offset_are_the_sites(berlin):
    assert site_moment("2026-11-23T17:00", berlin) == datetime(2026, 11, 23, 16, tzinfo=UTC)
    assert site_moment("2026-11-23T17:00Z", berlin) == datetime(2026, 11, 23, 17, tzinfo=UTC)


def test_an_hour_that_the_clock_skips_is_refused(berlin):
    with pytest.raises(NoSuchTime, match="does not exist"):
        site_moment("2026-03-29T02:30", berlin)


def test_an_hour_that_comes_twice_asks_which(berlin):
    with pytest.raises(NoSuchTime, match=r"2026-10-25T02:30\+02:00 or 2026-10-25T02:30\+01:00"):
        site_moment("2026-10-25T02:30", berlin)
    assert site_moment("2026-10-25T02:30+01:00", berlin) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00", "25:00"])
def test_what_is_no_time_is_refused_with_an_example(berlin, text):
    with pytest.raises(NoSuchTime, match="2026-11-23T17:00"):
        site_moment(text, berlin)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"])
def test_plain_times_go_there_and_back(site, zone):
    site.time_zone = zone
    local = datetime.fromisoformat("2026-07-01T12:34")
    assert site_moment(local, site).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local


# --- at the same moment -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_many_edits_of_one_version_one_wins(farm, ask):
    from django.db import connection

    plan = create_plan(draft_plan(ask), by=None)

    def edit(number: int) -> str | None:
        try:
            mine = CurtailmentPlan.objects.get(pk=plan.pk)
            edit_plan(mine, version=1, by=None, reason=f"number {number}")
        except StaleVersion:
            return None
        else:
            return f"number {number}"
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        won = [reason for reason in pool.map(edit, range(6)) if reason]
    plan.refresh_from_db()
    assert won == [plan.reason]
    assert (plan.version, plan.targets.count()) == (2, 3)
    assert content_hash(plan) == plan.content_hash


@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_the_same_moment_makes_one_plan(farm, ask):
    from django.db import connection

    def create(_: int) -> int:
        try:
            return create_plan(draft_plan(ask), idempotency_key="once", by=None).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(create, range(6)))) == 1
    assert CurtailmentPlan.objects.count() == 1
