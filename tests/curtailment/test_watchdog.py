"""The watchdog: quiet while passes are at it or nothing is overdue; else it brings machines back, without Redis and Celery."""

import json
from datetime import timedelta

import pytest

from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.passes import LOCK_KEY, run_pass
from curtailment.passes.watching import Watchdog
from events.models import SchedulerLock
from minefarm.lib.clock import database_now
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states
from tests.farm import database_url, run_manage

pytestmark = pytest.mark.django_db(transaction=True)


def overdue(plan, seconds: float) -> None:
    """The plan has begun, and should have brought its machine back so long ago."""
    if plan.status == "approved":
        run_pass()
        plan.refresh_from_db()
    CurtailmentPlan.objects.filter(pk=plan.pk).update(recovery_time=database_now() - timedelta(seconds=seconds))


def silent(seconds: float) -> None:
    """The last pass showed life so long ago."""
    life = database_now() - timedelta(seconds=seconds)
    SchedulerLock.objects.filter(lock_key=LOCK_KEY).update(last_heartbeat=life)


def test_the_watchdog_waits_for_the_passes(make_miner, site):
    plan = approved_plan(site, [make_miner("M-1")], begins_in=-600, seconds=3600)
    run_pass()
    plan.refresh_from_db()
    silent(1000)
    assert Watchdog().look() is None
    overdue(plan, 170)
    assert Watchdog().look() is None, "not overdue for long enough"
    overdue(plan, 190)
    silent_since = SchedulerLock.objects.filter(lock_key=LOCK_KEY)
    silent_since.update(last_heartbeat=database_now() - timedelta(seconds=50))
    assert Watchdog().look() is None, "a pass showed life"
    silent_since.update(last_heartbeat=database_now() - timedelta(seconds=61))
    report = Watchdog().look()
    assert report is not None
    assert (report.recovering, report.recovered) == (1, 1)
    assert CurtailmentPlan.objects.get(pk=plan.pk).recovery_state == "recovered"


@pytest.mark.storm
def test_its_own_sign_of_life_does_not_make_it_wait(make_miner, site):
    first, second = (
        approved_plan(site, [make_miner(f"M-{number}")], begins_in=-600, seconds=3600) for number in (1, 2)
    )
    overdue(first, 190)
    silent(61)
    watchdog = Watchdog()
    assert watchdog.look() is not None
    second.refresh_from_db()
    overdue(second, 190)
    assert Watchdog().look() is None
    assert watchdog.look() is not None


@pytest.mark.storm
def test_machines_come_back_with_redis_and_celery_away(machines_at, site):
    miners = machines_at(88, 3)
    hasty(site)
    hash_now(miners)
    plan = approved_plan(site, miners, seconds=600)
    while states(plan) != {"confirmed": 3}:
        run_pass()
    CurtailmentPlan.objects.filter(pk=plan.pk).update(recovery_time=database_now())
    SchedulerLock.objects.filter(lock_key=LOCK_KEY).update(last_heartbeat=database_now() - timedelta(seconds=61))
    environment = {"DATABASE_URL": database_url(), "REDIS_URL": "redis://127.0.0.1:1/0", "MINEFARM_FACTORY_LOGINS": "1"}
    done = run_manage("curtailment_watchdog", "--json", timeout_s=90, CURTAILMENT_WATCHDOG_AFTER_S="0", **environment)
    document = json.loads(done.stdout)
    assert (done.returncode, document["acted"], document["done"]) == (0, True, 3)
    assert "Traceback" not in done.stderr
    assert not PlanMiner.objects.exclude(state="done").exists()
    again = run_manage("run_curtailment", "--json", **environment)
    assert json.loads(again.stdout)["recovered"] == 0
    assert "Traceback" not in again.stderr
