"""Celery's doors to the outbox."""

import logging

from celery import shared_task
from django.conf import settings

from events import dispatch, retention

log = logging.getLogger(__name__)

PASS_S = 10.0


@shared_task(soft_time_limit=80, time_limit=90)
def dispatch_outbox() -> None:
    """Beat's tick: carry on until nothing is due, for ten seconds at most. Passes may overlap."""
    dispatch.drain(seconds=PASS_S)


@shared_task
def apply_outbox_retention() -> None:
    forgotten = retention.forget_processed(days=settings.OUTBOX_RETENTION_DAYS)
    log.info("outbox: %d events forgotten", forgotten)
