"""Celery's way into the passes; nothing depends on it, for a loop and the watchdog work without."""

from celery import shared_task

from curtailment.passes import run_pass
from curtailment.settlement import due, settle_plan
from events.periodic import once_per_period

PASS_FOR_S = 4.0  # the next tick goes on


@shared_task(soft_time_limit=120, time_limit=150)
@once_per_period
def run_curtailment() -> None:
    """What is due of curtailment plans; returns at once while another process is at it."""
    run_pass(seconds=PASS_FOR_S)


@shared_task
@once_per_period
def settle_curtailments() -> None:
    """Plans that are over and whose readings are in."""
    for plan in due():
        settle_plan(plan)
