"""Celery's doors."""

import logging

from celery import shared_task

from crm import dunning
from crm.billing import background
from events.periodic import once_per_period

log = logging.getLogger(__name__)


@shared_task
@once_per_period
def mark_overdue() -> None:
    """What was due before today, and the reminders of today."""
    done = dunning.mark_overdue()
    if done.overdue or done.reminded:
        log.info("%d invoices are overdue now, %d reminders go out", len(done.overdue), len(done.reminded))


@shared_task
def run_billing(run_id: int) -> None:
    """A preview or an issue that somebody started on the page."""
    background.work(run_id)
