"""Passes over real simulated machines: what is off was measured, what was not on is never touched, all come back."""

import time

import pytest

from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.passes import run_pass
from events.models import OutboxEvent
from hosting.models import CommandBatch, Miner, MinerCommand, OperationLog
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states

pytestmark = pytest.mark.django_db(transaction=True)


def until(condition, *, within_s=40.0, **options):
    """Passes until the condition holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, list(PlanMiner.objects.values("miner", "state", "attempts", "last_error"))
        run_pass(**options)
        time.sleep(0.1)


def test_machines_stop_are_measured_and_come_back(machines_at, site):
    miners = machines_at(80, 4)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners[:3])
    until(lambda: states(plan) == {"confirmed": 3})
    plan.refresh_from_db()
    assert (plan.status, plan.recovery_state) == ("executed", "scheduled")
    rows = PlanMiner.objects.filter(plan=plan)
    assert all(row.prior_on and row.observed_w is not None and row.observed_w < row.baseline_w / 2 for row in rows)
    assert plan.power_reduced == round(sum(row.baseline_w - row.observed_w for row in rows) / 1_000_000, 6)
    assert set(Miner.objects.values_list("status", flat=True)) == {"active", "curtailed"}
    CurtailmentPlan.objects.filter(pk=plan.pk).update(
        recovery_time=plan.scheduled_time + (plan.recovery_time - plan.scheduled_time) / 1000
    )
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
