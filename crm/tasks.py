"""Celery's doors."""

import logging

from celery import shared_task

from crm import dunning
from events.periodic import once_per_period

log = logging.getLogger(__name__)


@shared_task
@once_per_period
def mark_overdue() -> None:
    """What was due before today, and the reminders of today."""
    done = dunning.mark_overdue()
    if done.overdue or done.reminded:
        log.info("%d invoices are overdue now, %d reminders go out", len(done.overdue), len(done.reminded))
