"""Telling people that something needs them: an error in the log, and a mail to ALERT_EMAILS, one an hour about each subject."""

import logging
import time

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage, get_connection

log = logging.getLogger(__name__)

QUIET_S = 3600
MAIL_TIMEOUT_S = 10

_told_at: dict[str, float] = {}


def alert(subject: str, headline: str, text: str) -> None:
    """Log and mail; `subject` is what the hourly limit counts by. Never raises: an alert must not stop what it reports."""
    log.error("%s: %s\n%s", subject, headline, text)
    if not settings.ALERT_EMAILS or not _first_this_hour(subject):
        return
    try:
        EmailMessage(
            f"MineFarm {subject}: {headline}",
            f"{text}\n\nMore of the same within the hour is in the log only.",
            to=settings.ALERT_EMAILS,
            connection=get_connection(timeout=MAIL_TIMEOUT_S),
        ).send()
    except Exception:
        log.exception("the alert about %s could not be mailed", subject)


def _first_this_hour(subject: str) -> bool:
    try:
        return bool(cache.add(f"alert:{subject}", 1, timeout=QUIET_S))
    except Exception:
        log.exception("no cache to count alerts in: this process counts for itself")
    now = time.monotonic()
    if now - _told_at.get(subject, -QUIET_S) < QUIET_S:
        return False
    _told_at[subject] = now
    return True
