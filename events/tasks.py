"""Celery's doors of this app: one call each."""

from celery import shared_task

from events.models import PeriodicRun
from events.periodic import once_per_period

KEEP_RUNS_DAYS = 30


@shared_task
@once_per_period
def prune_job_runs() -> int:
    """Forget what beat's jobs did more than 30 days ago."""
    return PeriodicRun.objects.prune(days=KEEP_RUNS_DAYS)
