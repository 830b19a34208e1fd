"""Celery's doors of this app: one call each."""

import logging

from celery import shared_task

from events import dispatch
from events.models import PeriodicRun
from events.periodic import once_per_period

log = logging.getLogger(__name__)

KEEP_RUNS_DAYS = 30
PASS_S = 10.0


@shared_task
@once_per_period
def prune_job_runs() -> int:
    """Forget what beat's jobs did more than 30 days ago."""
    return PeriodicRun.objects.prune(days=KEEP_RUNS_DAYS)


@shared_task(soft_time_limit=80, time_limit=90)
def dispatch_outbox() -> None:
    """Beat's tick: carry on until nothing is due, for ten seconds at most. Passes may overlap."""
    dispatch.drain(seconds=PASS_S)
