"""A word to whoever carries plans out: never needed, for the next tick finds the rows."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerAway

log = logging.getLogger(__name__)

TASK = "curtailment.tasks.run_curtailment"
EXPIRES_S = 30


def poke() -> None:
    """Once the present transaction has committed, ask for a pass now. A broker that is away changes nothing."""
    transaction.on_commit(_send, robust=True)


def _send() -> None:
    try:
        current_app.send_task(TASK, expires=EXPIRES_S, queue="control", ignore_result=True)
    except (BrokerAway, OSError) as error:
        log.warning("no worker could be told of a plan (%s); the next tick finds it", error)
