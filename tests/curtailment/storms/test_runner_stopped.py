"""The runner is frozen for good while machines are off: the watchdog takes the lock and brings them back."""

import os
import signal
import time

import pytest

from curtailment.models import PlanMiner
from curtailment.verify import breaches
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states
from tests.curtailment.storms.runners import runners

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.storm]
NO_REDIS = {"REDIS_URL": "redis://127.0.0.1:1/0"}


def wait_for(condition, within_s: float) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + within_s, list(PlanMiner.objects.values("state", "attempts", "last_error"))
        time.sleep(0.3)
    return time.monotonic() - began


def test_the_watchdog_wakes_what_a_frozen_runner_left_off(machines_at, site):
    miners = machines_at(89, 8)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners, seconds=25)
    # Instead of 180: the time past the end, and at most the silence of the passes.
    after_s = float(os.environ.get("WATCHDOG_AFTER_S", "10"))
    with runners(1, **NO_REDIS) as (frozen,):
        wait_for(lambda: states(plan) == {"confirmed": 8}, 24)
        frozen.send_signal(signal.SIGSTOP)
        with runners(1, "curtailment_watchdog", "--loop", CURTAILMENT_WATCHDOG_AFTER_S=str(after_s), **NO_REDIS):
            wait_for(lambda: PlanMiner.objects.filter(plan=plan, state="restoring").exists(), after_s + 60)
            waited = PlanMiner.objects.filter(plan=plan).earliest("restoring_at").restoring_at - plan.recovery_time
            wait_for(lambda: states(plan) == {"done": 8}, 60)
            frozen.send_signal(signal.SIGCONT)  # what it had in mind is not written any more
            time.sleep(2)
    print(f"first wake {waited.total_seconds():.0f} s after the end, allowed to begin after {after_s:.0f} s")
    assert after_s <= waited.total_seconds() < after_s + 30
    assert states(plan) == {"done": 8}
    assert breaches() == []


def test_a_second_runner_takes_over_within_a_minute(machines_at, site):
    miners = machines_at(90, 8)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners, seconds=20)
    with runners(2, **NO_REDIS) as both:
        wait_for(lambda: states(plan) == {"confirmed": 8}, 19)
        both[0].send_signal(signal.SIGSTOP)
        wait_for(lambda: PlanMiner.objects.filter(plan=plan, state="restoring").exists(), 60)
        waited = PlanMiner.objects.filter(plan=plan).earliest("restoring_at").restoring_at - plan.recovery_time
        wait_for(lambda: states(plan) == {"done": 8}, 60)
    print(f"first wake {waited.total_seconds():.0f} s after the end")
    assert waited.total_seconds() < 60
