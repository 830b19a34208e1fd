"""Giving an order: one batch, one row per machine, and at once the reason for those that will not get it."""

import hashlib
import logging
from datetime import timedelta

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from kombu.exceptions import OperationalError as BrokerAway

from accounts.models import User
from hosting.commands.barred import barred
from hosting.control.orders import Order
from hosting.models import CommandBatch, Miner, MinerCommand
from hosting.states import CommandStatus
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

EXPIRES_AFTER = timedelta(minutes=10)
LONGEST = timedelta(hours=24)
WATTS = range(100, 20_001)
MAX_TEXT = 500
WORK = "hosting.tasks.work_commands"
WORK_EXPIRES_S = 20


class WrongOrder(ValueError):
    """The order lacks something or has too much; the message says what to give."""


class NoMachines(WrongOrder):
    """None of the machines is within the person's reach."""


class KeyReused(ValueError):
    """The idempotency key stands for another order."""


class NotAllowed(Exception):
    """The person may not command machines."""


def order_machines(
    miners: "QuerySet[Miner]",
    order: Order,
    *,
    watts: int | None = None,
    reason: str,
    idempotency_key: str | None = None,
    expires_after: timedelta = EXPIRES_AFTER,
    tell_workers: bool = True,
    by: User | None,
) -> CommandBatch:
    """Write down the order to the machines that the person reaches, and let workers know once that is committed.

    Machines in maintenance, of unexpected identity, without an allowed address or with a command under way get their result at
    once. The same key and order again return the batch of the first time. Whoever carries the order out itself does without
    `tell_workers`, and then without the broker. `by` None is whoever runs commands on the server,
    or MineFarm itself. Raises NotAllowed, WrongOrder, NoMachines, KeyReused.
    """
    if by is not None and not by.may("miner:command"):
        raise NotAllowed("Your role may not command machines. Ask an administrator of the farm.")
    reason = check_order(order, watts, reason, idempotency_key, expires_after)
    reached = (
        miners.order_by() if by is None else Miner.objects.for_user(by).filter(pk__in=miners.order_by().values("pk"))
    )
    ids = sorted(reached.values_list("pk", flat=True))
    if not ids:
        raise NoMachines("There is no such machine within your reach: choose at least one.")
    print_of = fingerprint(order, watts, ids)
    if idempotency_key and (known := _known(by, idempotency_key, print_of)):
        return known
    try:
        with transaction.atomic():
            batch = CommandBatch.objects.create(
                order=order,
                watts=watts,
                reason=reason,
                requested_by=by,
                idempotency_key=idempotency_key or None,
                fingerprint=print_of,
                miners=len(ids),
                expires_at=database_now() + expires_after,
            )
            _write_commands(batch, ids)
            if tell_workers:
                transaction.on_commit(poke)
    except IntegrityError:  # the same key at the same moment
        if idempotency_key and (known := _known(by, idempotency_key, print_of)):
            return known
        raise
    batch.refresh_from_db()
    return batch


def check_order(
    order: Order, watts: int | None, reason: str, key: str | None = None, expires_after: timedelta = EXPIRES_AFTER
) -> str:
    """The reason, trimmed; raises WrongOrder."""
    if (watts is not None) != (order is Order.POWER_LIMIT):
        raise WrongOrder("Give watts with set_power_limit, and with no other order.")
    if watts is not None and watts not in WATTS:
        raise WrongOrder(f"{watts} W is no power limit of a machine: give {WATTS.start} to {WATTS.stop - 1}.")
    if not (reason := reason.strip()):
        raise WrongOrder("Say why, for whoever reads the log later.")
    if len(reason) > MAX_TEXT or len(key or "") > MAX_TEXT or "\0" in reason + (key or ""):
        raise WrongOrder(f"Reason and key are plain text of at most {MAX_TEXT} characters.")
    if not timedelta() < expires_after <= LONGEST:
        raise WrongOrder("An order expires within 24 hours.")
    return reason


def fingerprint(order: Order, watts: int | None, ids: list[int]) -> str:
    text = f"{order} {watts} {','.join(map(str, ids))}"
    return hashlib.sha256(text.encode()).hexdigest()


def _known(by: User | None, key: str, print_of: str) -> CommandBatch | None:
    batch = CommandBatch.objects.filter(requested_by=by, idempotency_key=key).first()
    if batch is not None and batch.fingerprint != print_of:
        raise KeyReused(f"This key stands for batch {batch.pk}, which was another order: use a new key.")
    return batch


def _write_commands(batch: CommandBatch, ids: list[int]) -> None:
    """One row per machine. A machine whose other command is under way loses the race for the open row, whoever is faster."""
    reasons = barred(ids)
    open_rows = [MinerCommand(batch=batch, miner_id=pk) for pk in ids if pk not in reasons]
    MinerCommand.objects.bulk_create(open_rows, ignore_conflicts=True, batch_size=2000)
    written = set(MinerCommand.objects.filter(batch=batch).values_list("miner_id", flat=True))
    busy = [row.miner_id for row in open_rows if row.miner_id not in written]
    reasons |= dict.fromkeys(busy, "another command to it is under way: repeat this one when that has ended")
    now = database_now()
    MinerCommand.objects.bulk_create(
        [
            MinerCommand(batch=batch, miner_id=pk, status=CommandStatus.FAILED, detail=why, finished_at=now)
            for pk, why in reasons.items()
        ],
        batch_size=2000,
    )
    if len(reasons) == len(ids):
        CommandBatch.objects.filter(pk=batch.pk).update(finished_at=now)


def poke() -> None:
    """Tell a worker that there is something to do now. When the broker is away, the next tick finds the rows."""
    try:
        current_app.send_task(WORK, expires=WORK_EXPIRES_S, queue="control", ignore_result=True)
    except (BrokerAway, OSError) as error:
        log.warning("no worker could be told of new commands (%s); the next tick finds them", error)
