"""Mails about an account. A worker sends them: the page answers at once, and as fast for an address without an account."""

import logging
from threading import Thread
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError

from accounts.signins import tasks

log = logging.getLogger(__name__)


def request_reset_link(email: str, *, origin: str) -> None:
    """Mail a link for a new password, if the address has an account; `origin` is scheme and host of this site."""
    _hand_over(tasks.mail_reset_link, email, origin)


def mail_notice(to: str, sentence: str, *, address: str | None, device: str | None) -> None:
    """Tell somebody what just happened to their account, and from where."""
    _hand_over(tasks.mail_notice, to, sentence, address, device)


def _hand_over(task: "Task[Any, Any]", *arguments: Any) -> None:
    try:
        task.delay(*arguments)
    except OperationalError:
        log.warning("the broker does not answer: %s runs in this process", task.name)
        Thread(target=tasks.run_here, args=(task, *arguments), daemon=True).start()
