"""A word to whoever carries plans out: never needed, for the next tick finds the rows."""

import logging
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerAway

log = logging.getLogger(__name__)

TASK = "curtailment.tasks.run_curtailment"
RULES = "curtailment.tasks.evaluate_rules"
EXPIRES_S = 30


def poke() -> None:
    """Once the present transaction has committed, ask for a pass now. A broker that is away changes nothing."""
    transaction.on_commit(_send, robust=True)


def poke_rules() -> None:
    """The same for the rules: a utility's signal does not wait for the next minute."""
    transaction.on_commit(partial(_send, RULES), robust=True)


def _send(task: str = TASK) -> None:
    try:
        current_app.send_task(task, expires=EXPIRES_S, queue="control", ignore_result=True)
    except (BrokerAway, OSError) as error:
        log.warning("no worker could be told of a plan (%s); the next tick finds it", error)
