"""A wave of commands on its way: who is barred, who is there at all, the log, the packet, the answer."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from hosting.commands.barred import barred
from hosting.commands.finishing import Move, Worked, settle
from hosting.commands.identity import unexpected
from hosting.commands.machines import Told, machines_of
from hosting.commands.readings import as_json, look_and_identify
from hosting.control import Answer, Evidence, Machine, Order, Result, send_many
from hosting.models import MinerCommand, OperationLog
from hosting.states import COMMAND_MOVES, CommandStatus
from minefarm.lib.clock import database_now

WAVE = 1000  # machines at a time
LEASE = timedelta(seconds=60)  # longer than a wave's reading and sending together
AT_ONCE = 300  # more at once only makes them wait for this process, until their deadlines
SEND_S = 8.0
MOST_SENDS = 2
SEND_AGAIN_AFTER = timedelta(seconds=3)
FIRST_LOOK_AFTER = timedelta(seconds=1)
# A thousand rows in one statement: the wave's transaction is short, and others wait for its rows.
MARK = """
UPDATE miner_commands AS command
SET status = %(status)s, sent_at = %(now)s, attempts = command.attempts + 1, claimed_until = %(until)s,
    before = move.before::jsonb
FROM unnest(%(ids)s::bigint[], %(before)s::text[]) AS move (id, before) WHERE command.id = move.id
"""


def send_wave(
    me: str, commands: Sequence[MinerCommand], worked: Worked, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Send the claimed commands, and write down what the machines answer; nothing more is sent once `stopped` says so."""
    commands = _still_allowed(me, commands, worked)
    told = machines_of([command.miner_id for command in commands])
    seen = asyncio.run(look_and_identify([known.machine for known in told.values()]))
    commands = _as_expected(me, commands, told, {pk: names for pk, (_, names) in seen.items()}, worked)
    sent = mark_sent(me, commands, {command.pk: seen[command.miner_id][0] for command in commands})
    worked.add(CommandStatus.SENT, len(sent))
    for (order, watts), group in _by_order(sent).items():
        results = asyncio.run(_send(order, watts, [told[command.miner_id].machine for command in group], stopped))
        now = database_now()
        settle(
            me,
            [_after(command, results[command.miner_id], now) for command in group],
            worked,
        )


def _still_allowed(me: str, commands: Sequence[MinerCommand], worked: Worked) -> list[MinerCommand]:
    """A machine may have gone to maintenance, or its site's networks may have changed, since the order was given."""
    reasons = barred(command.miner_id for command in commands)
    return _without(me, commands, reasons, worked)


def _as_expected(
    me: str,
    commands: Sequence[MinerCommand],
    told: Mapping[int, Told],
    names: Mapping[int, tuple[str | None, str | None]],
    worked: Worked,
) -> list[MinerCommand]:
    """Without those at whose address another machine answers."""
    strangers = unexpected({command.miner_id: names[command.miner_id] for command in commands}, told)
    reasons = {
        pk: f"another machine answers at its address ({who}): nothing was sent. Scan the site to find this one"
        for pk, who in strangers.items()
    }
    return _without(me, commands, reasons, worked)


def _without(
    me: str, commands: Sequence[MinerCommand], reasons: Mapping[int, str], worked: Worked
) -> list[MinerCommand]:
    failed = [command for command in commands if command.miner_id in reasons]
    settle(me, [Move(command, CommandStatus.FAILED, reasons[command.miner_id]) for command in failed], worked)
    return [command for command in commands if command.miner_id not in reasons]


@transaction.atomic
def mark_sent(me: str, commands: Sequence[MinerCommand], before: Mapping[int, Evidence]) -> list[MinerCommand]:
    """The rows and their log lines, committed before any packet leaves; rows that are no longer ours are left out."""
    ours = MinerCommand.objects.filter(
        pk__in=[command.pk for command in commands],
        status__in=COMMAND_MOVES[CommandStatus.SENT],
        claimed_by=me,
        batch__expires_at__gt=Now(),
    )
    ids = set(ours.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
    moving = [command for command in commands if command.pk in ids]
    now = database_now()
    for command in moving:
        command.status, command.sent_at, command.attempts = CommandStatus.SENT, now, command.attempts + 1
        command.before = command.before or as_json(before[command.pk])
        command.claimed_until = now + LEASE
    with connection.cursor() as cursor:
        cursor.execute(
            MARK,
            {
                "status": CommandStatus.SENT.value,
                "now": now,
                "until": now + LEASE,
                "ids": [command.pk for command in moving],
                "before": [json.dumps(command.before) for command in moving],
            },
        )
    OperationLog.objects.bulk_create(
        OperationLog(
            miner_id=command.miner_id,
            operation=command.batch.order,
            details=_line(command),
            performed_by_id=command.batch.requested_by_id,
        )
        for command in moving
    )
    return moving


def _line(command: MinerCommand) -> str:
    batch = command.batch
    limit = f" to {batch.watts} W" if batch.watts is not None else ""
    again = f", attempt {command.attempts}" if command.attempts > 1 else ""
    return f"batch {batch.pk}{limit}{again}: {batch.reason}"


def _by_order(commands: Sequence[MinerCommand]) -> dict[tuple[Order, int | None], list[MinerCommand]]:
    groups: dict[tuple[Order, int | None], list[MinerCommand]] = {}
    for command in commands:
        groups.setdefault((Order(command.batch.order), command.batch.watts), []).append(command)
    return groups


async def _send(
    order: Order, watts: int | None, machines: Sequence[Machine], stopped: Callable[[], bool]
) -> dict[int, Result]:
    sending = send_many(machines, order, watts=watts, concurrency=AT_ONCE, deadline_s=SEND_S, stopped=stopped)
    return {result.key: result async for result in sending}


def _after(command: MinerCommand, result: Result, now: datetime) -> Move:
    """What an answer means. Silence means nothing, for the answer may have been lost: measure."""
    if result.answer is Answer.ACCEPTED:
        return Move(command, CommandStatus.ACCEPTED, result.detail, due_at=now + FIRST_LOOK_AFTER)
    if result.answer is Answer.UNSUPPORTED:
        return Move(command, CommandStatus.UNSUPPORTED, result.detail)
    if result.answer is not Answer.UNREACHABLE:
        return Move(command, CommandStatus.FAILED, result.detail)
    return Move(command, CommandStatus.SENT, result.detail, due_at=now + SEND_AGAIN_AFTER)
