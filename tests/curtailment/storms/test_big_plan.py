"""600 machines at once, one in twenty dead and one in fifty a liar: all others are off within a minute, and the sum is true."""

import time

import pytest

from curtailment.models import PlanMiner
from curtailment.verify import breaches
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states
from tests.curtailment.storms.runners import runners

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.storm]
SELECTED, LIMIT_S = 520, 60.0


def test_all_that_can_be_reached_are_measured_to_be_off(machines_at, site):
    miners = machines_at(92, 600, "--fault", "refuse=0.05", "--fault", "ignores=0.02", speed=4.0)
    hasty(site, sleep_wave=500)
    hash_now(miners)
    selected = miners[:SELECTED]
    target = sum(one.miner_model.power_consumption for one in selected) / 1_000_000
    plan = approved_plan(site, selected, reserves=miners[SELECTED:], target_mw=target, seconds=900)
    reachable = [one.pk for one in selected if one.fault is None]
    off = PlanMiner.objects.filter(plan=plan, miner__in=reachable, state="confirmed")
    began = time.monotonic()
    with runners(1, CURTAILMENT_LOCK_TTL_S="30"):
        while off.count() < len(reachable):
            assert time.monotonic() < began + LIMIT_S, states(plan)
            time.sleep(0.5)
        took_s = time.monotonic() - began
        while plan.status != "executed":
            assert time.monotonic() < began + 180, states(plan)
            time.sleep(1)
            plan.refresh_from_db()
    plan.refresh_from_db()
    rows = list(PlanMiner.objects.filter(plan=plan, role="selected", state="confirmed"))
    print(f"{took_s:.0f} s, {states(plan)}, {plan.power_reduced} of {target} MW, shortfall {plan.shortfall}")
    liars = [one.pk for one in selected if one.fault == "ignores"]
    assert liars
    assert not PlanMiner.objects.filter(plan=plan, miner__in=liars, state="confirmed").exists()
    measured_w = sum(row.baseline_w - row.observed_w for row in rows if row.observed_w is not None)
    assert plan.power_reduced == round(measured_w / 1_000_000, 6)
    assert len(rows) > len(reachable), "reserves took the places of those that did not stop"
    assert plan.shortfall == max(0, target - plan.power_reduced - plan.power_estimated)
    assert breaches() == []
