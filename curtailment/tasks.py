"""Celery's way into the passes; nothing depends on it, for a loop and the watchdog work without."""

import logging

from celery import shared_task

from curtailment import rules
from curtailment.passes import run_pass
from curtailment.settlement import due, settle_plan
from events.locks import DATABASE_AWAY
from events.periodic import once_per_period

log = logging.getLogger(__name__)

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
        try:
            settle_plan(plan)
        except DATABASE_AWAY:
            raise
        except Exception:  # the others are settled all the same, and this one is tried again
            log.exception("plan %d was not settled", plan.pk)


@shared_task(soft_time_limit=50, time_limit=55)
@once_per_period
def evaluate_rules() -> None:
    """What armed rules want now; silent sources are told."""
    for one in rules.evaluate_rules():
        if one.plans:
            log.info("rule %d %s: %s; plans %s", one.rule_id, one.act, one.why, one.plans)
