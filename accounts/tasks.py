"""Celery's door of timed access."""

import logging

from celery import shared_task

from accounts.expiry import warn_expiring
from accounts.sessions import close_doors
from events.periodic import once_per_period

log = logging.getLogger(__name__)


@shared_task
@once_per_period
def watch_access() -> None:
    """End the sessions of people whose access is over, and announce the end of access that ends soon."""
    if ended := close_doors():
        log.info("%s sessions ended with the access of their people", ended)
    if warned := warn_expiring():
        log.info("%s people are warned that their access ends", warned)
