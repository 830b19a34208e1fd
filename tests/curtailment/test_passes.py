"""Passes over real simulated machines: what is off was measured, what was not on is never touched, all come back."""

import json
import time
from datetime import timedelta

import pytest
from django.core.management import call_command

from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.passes import faults, measuring, run_pass, starting
from curtailment.verify import breaches
from events.locks import held
from events.models import OutboxEvent
from hosting.models import CommandBatch, Miner, MinerCommand, MinerLatest, OperationLog
from hosting.services import start_maintenance
from minefarm.lib.clock import database_now
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states

pytestmark = pytest.mark.django_db(transaction=True)


def until(condition, *, within_s=40.0, **options):
    """Passes until the condition holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, list(PlanMiner.objects.values("miner", "state", "attempts", "last_error"))
        run_pass(**options)
        time.sleep(0.1)


def end(plan):
    """The plan's time is over now."""
    CurtailmentPlan.objects.filter(pk=plan.pk).update(recovery_time=database_now())


@pytest.fixture(autouse=True)
def hasty_power(monkeypatch):
    """The simulated machines' power falls in a second."""
    monkeypatch.setattr(measuring, "SETTLED_AFTER", timedelta(seconds=1))


def test_machines_stop_are_measured_and_come_back(machines_at, site):
    miners = machines_at(80, 4)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners[:3])
    until(lambda: CurtailmentPlan.objects.get(pk=plan.pk).status == "executed")
    assert breaches() == []
    plan.refresh_from_db()
    assert (plan.status, plan.recovery_state) == ("executed", "scheduled")
    rows = PlanMiner.objects.filter(plan=plan)
    assert all(row.prior_on and row.observed_w is not None and row.observed_w < 100 for row in rows)
    assert plan.power_reduced == round(sum(row.baseline_w - row.observed_w for row in rows) / 1_000_000, 6)
    assert set(Miner.objects.values_list("status", flat=True)) == {"active", "curtailed"}
    end(plan)
    until(lambda: states(plan) == {"done": 3})
    plan.refresh_from_db()
    assert (plan.status, plan.recovery_state) == ("executed", "recovered")
    assert set(Miner.objects.values_list("status", flat=True)) == {"active"}
    assert not MinerCommand.objects.filter(miner=miners[3]).exists()
    told = OutboxEvent.objects.filter(event_type__startswith="curtailment.").order_by("id")
    assert [event.event_type.partition(".")[2] for event in told] == [
        "plan_started", "plan_executed", "plan_recovering", "plan_recovered",
    ]  # fmt: skip
    assert OperationLog.objects.filter(operation="sleep", details__contains=f"plan {plan.pk}, pass ").count() == 3
    assert set(CommandBatch.objects.values_list("order", flat=True)) == {"sleep", "wake"}
    assert breaches() == []


@pytest.mark.storm
def test_what_was_not_on_before_is_never_touched(machines_at, site, operator):
    """Asleep, in maintenance, gone: each row says why, and no packet leaves for it."""
    miners = machines_at(81, 4, "--asleep", "1")
    hasty(site)
    hash_now(miners[:3])
    start_maintenance(Miner.objects.filter(pk=miners[1].pk), by=operator)
    Miner.objects.filter(pk=miners[2].pk).update(site=None)
    plan = approved_plan(site, miners)
    until(lambda: states(plan) == {"confirmed": 1, "released": 3})
    left = PlanMiner.objects.filter(plan=plan, state="released").order_by("shutdown_order")
    assert list(left.values_list("last_error", "prior_on")) == [
        ("in maintenance before the plan began: left alone", False),
        ("it is not at the site any more: left alone", False),
        ("not running before the plan began: left alone", False),
    ]
    end(plan)
    until(lambda: states(plan) == {"done": 1, "released": 3})
    assert set(MinerCommand.objects.values_list("miner", flat=True)) == {miners[0].pk}
    assert breaches() == []


@pytest.mark.storm
def test_a_reserve_takes_the_place_of_a_machine_that_does_not_stop(machines_at, site):
    miners = machines_at(82, 3)
    hasty(site)
    hash_now(miners)
    Miner.objects.filter(pk=miners[0].pk).update(cgminer_port=4029)  # nobody listens there
    target = min(one.miner_model.power_consumption for one in miners) / 1_000_000
    plan = approved_plan(site, miners[:1], reserves=miners[1:], target_mw=target)
    until(lambda: states(plan).get("confirmed") == 1)
    rows = {row.miner_id: row for row in PlanMiner.objects.filter(plan=plan)}
    assert rows[miners[0].pk].state in {"unreachable", "dispatching"}
    assert rows[miners[0].pk].last_error != "" or rows[miners[0].pk].state == "dispatching"
    assert rows[miners[1].pk].role == "selected"
    assert (rows[miners[2].pk].role, rows[miners[2].pk].state) == ("reserve", "pending")
    plan.refresh_from_db()
    assert plan.power_reduced == round((rows[miners[1].pk].baseline_w - rows[miners[1].pk].observed_w) / 1_000_000, 6)
    assert plan.shortfall == max(0, target - plan.power_reduced)
    assert breaches() == []


@pytest.mark.storm
def test_a_machine_that_came_back_by_itself_is_stopped_again(machines_at, site):
    miners = machines_at(83, 1)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners)
    until(lambda: states(plan) == {"confirmed": 1})
    hash_now(miners)  # a reading from after it was measured to be off
    until(lambda: PlanMiner.objects.get(plan=plan).drifts == 1)
    MinerLatest.objects.update(hashrate_ths=0, power_w=40)
    until(lambda: states(plan) == {"confirmed": 1})
    assert OutboxEvent.objects.get(event_type="curtailment.miner_drifted").payload["drifts"] == 1
    assert MinerCommand.objects.filter(batch__order="sleep").count() == 2


@pytest.mark.storm
def test_a_machine_wakes_after_the_last_plan_that_wants_it_off(machines_at, site):
    miners = machines_at(84, 2)
    hasty(site)
    hash_now(miners)
    first = approved_plan(site, miners)
    until(lambda: states(first) == {"confirmed": 2})
    second = approved_plan(site, [], held=miners[:1])
    end(first)
    until(lambda: states(first) == {"done": 1, "released": 1})
    assert PlanMiner.objects.get(plan=first, state="released").last_error == f"held by plan {second.pk}"
    assert states(second) == {"pending": 1}
    assert Miner.objects.get(pk=miners[0].pk).status == "curtailed"
    assert breaches() == []
    end(second)
    until(lambda: states(second) == {"done": 1})
    assert MinerCommand.objects.filter(miner=miners[0], batch__order="wake").count() == 1
    assert Miner.objects.get(pk=miners[0].pk).status == "active"
    assert breaches() == []


@pytest.mark.storm
def test_a_frozen_site_hears_nothing_and_a_released_machine_comes_back_alone(machines_at, site):
    miners = machines_at(85, 2)
    policy = hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners)
    until(lambda: states(plan) == {"confirmed": 2})
    PlanMiner.objects.filter(miner=miners[0]).update(release_requested_at=database_now())
    type(policy).objects.update(frozen_until=database_now() + timedelta(hours=1), frozen_reason="people inside")
    before = MinerCommand.objects.count()
    for _ in range(3):
        run_pass()
    assert (MinerCommand.objects.count(), states(plan)) == (before, {"confirmed": 2})
    type(policy).objects.update(frozen_until=database_now())
    until(lambda: states(plan) == {"confirmed": 1, "done": 1})
    assert PlanMiner.objects.get(state="done").miner_id == miners[0].pk
    plan.refresh_from_db()
    assert plan.recovery_state == "scheduled"
    assert breaches() == []


def test_a_plan_that_cannot_run_holds_up_no_machines_way_back(machines_at, site, caplog):
    miners = machines_at(94, 2)
    hasty(site)
    hash_now(miners)
    good = approved_plan(site, miners[:1])
    until(lambda: states(good) == {"confirmed": 1})
    end(good)
    broken = approved_plan(site, miners[1:], seconds=600)

    def fail(name: str) -> None:
        if name in {"after start", "after pre-write"}:
            raise ValueError(name)

    faults.install(fail)
    try:
        first = run_pass()
        until(lambda: states(good) == {"done": 1})
    finally:
        faults.install(None)
    assert first.faults >= 1
    assert f"beginning plan {broken.pk} failed" in caplog.text
    assert CurtailmentPlan.objects.get(pk=good.pk).recovery_state == "recovered"
    until(lambda: states(broken) == {"confirmed": 1})
    assert breaches() == []


def test_a_plan_whose_beginning_was_missed_is_never_run_late(make_miner, site):
    plan = approved_plan(site, [make_miner("M-1")], begins_in=-1000, seconds=4000)
    run_pass()
    plan.refresh_from_db()
    assert (plan.status, plan.cancel_reason, plan.recovery_state) == ("cancelled", "missed window", "none")
    assert states(plan) == {"released": 1}
    assert not CommandBatch.objects.exists()


def test_a_plan_that_was_approved_anew_while_its_machines_were_asked_does_not_begin_with_the_old_ones(
    make_miner, site, monkeypatch
):
    plan = approved_plan(site, [make_miner("A-1")])

    def edited(_miners):
        CurtailmentPlan.objects.filter(pk=plan.pk).update(status="pending", version=2)
        PlanApproval.objects.create(plan=plan, kind=PlanApproval.Kind.RULE, version=2, content_hash="x")
        CurtailmentPlan.objects.filter(pk=plan.pk).update(status="approved")
        return {}

    with monkeypatch.context() as asking:
        asking.setattr(starting, "_ask", edited)
        assert run_pass().started == 0
    assert list(plan.targets.values_list("prior_on", flat=True)) == [None]
    assert run_pass().started == 1


def test_restoring_only_starts_nothing_and_another_ones_lock_is_left_alone(make_miner, site):
    plan = approved_plan(site, [make_miner("M-1")])
    run_pass(restore_only=True)
    assert CurtailmentPlan.objects.get(pk=plan.pk).status == "approved"
    with held("curtailment"):
        assert run_pass().busy
    assert CurtailmentPlan.objects.get(pk=plan.pk).status == "approved"


def test_a_breach_is_found(make_miner, site, capsys):
    make_miner("M-1", status="curtailed")
    assert [(breach.rule, breach.plan_id) for breach in breaches()] == [("I1", None)]
    with pytest.raises(SystemExit) as refused:
        call_command("verify_curtailment", "--json")
    assert refused.value.code == 1
    assert '"rule": "I1"' in capsys.readouterr().out


class Died(BaseException):
    """As good as a kill, for the rows."""


@pytest.mark.storm
def test_a_pass_may_die_at_every_point_once(machines_at, site, tmp_path):
    """The next one goes on from the rows: every machine stops and comes back, with one repeated packet at most."""
    log = tmp_path / "packets.jsonl"
    miners = machines_at(93, 3, "--packet-log", str(log))
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners, seconds=300)
    died: list[str] = []

    def die(name: str) -> None:
        if name not in died:
            died.append(name)
            raise Died(name)

    def dying_until(condition) -> None:
        limit = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < limit, (states(plan), died)
            try:
                run_pass()
            except Died:
                assert breaches() == []
            time.sleep(0.1)

    faults.install(die)
    try:
        dying_until(lambda: states(plan) == {"confirmed": 3})
        end(plan)
        dying_until(lambda: states(plan) == {"done": 3})
    finally:
        faults.install(None)
    assert set(died) == {
        *("after start", "after pre-write", "after packet", "before confirm"),
        *("after recovery began", "after wake pre-write"),
    }
    heard = [json.loads(line)["order"] for line in log.read_text().splitlines()]
    assert 3 <= heard.count("sleep") <= 6
    assert 3 <= heard.count("wake") <= 6
    assert breaches() == []
