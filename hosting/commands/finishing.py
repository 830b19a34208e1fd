"""Moves of commands: one UPDATE per target status, with the legal sources in its WHERE, and what follows from a last move."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from events.outbox import Fact, publish_many
from hosting.models import CommandBatch, MinerCommand
from hosting.states import COMMAND_MOVES, OPEN_COMMANDS, CommandStatus

MAX_DETAIL = 500
# Only rows that this worker still holds: whoever took over decides now.
SETTLE = """
UPDATE miner_commands AS command
SET status = %(to)s, detail = move.detail, after = COALESCE(move.after::jsonb, command.after),
    due_at = COALESCE(move.due_at, command.due_at), claimed_by = NULL, claimed_until = NULL,
    accepted_at = COALESCE(command.accepted_at, CASE WHEN %(to)s = 'accepted' THEN clock_timestamp() END),
    finished_at = CASE WHEN %(last)s THEN clock_timestamp() END
FROM unnest(%(ids)s::bigint[], %(details)s::text[], %(after)s::text[], %(due)s::timestamptz[])
    AS move (id, detail, after, due_at)
WHERE command.id = move.id AND command.claimed_by = %(me)s AND command.status = ANY(%(legal)s)
RETURNING command.id
"""


@dataclass(frozen=True, slots=True)
class Move:
    """One command's next status, or with its present one the next look at it; `after` replaces the readings."""

    command: MinerCommand
    to: CommandStatus
    detail: str
    after: list[dict[str, Any]] | None = None
    due_at: datetime | None = None


@dataclass(slots=True)
class Worked:
    """What passes did: rows moved, by status they moved to."""

    moved: dict[str, int] = field(default_factory=dict)

    def add(self, status: CommandStatus, count: int) -> None:
        if count:
            self.moved[status.value] = self.moved.get(status.value, 0) + count


@transaction.atomic
def settle(me: str, moves: Iterable[Move], worked: Worked) -> None:
    """Make the moves of commands that this worker holds, and let go of them."""
    by_target: dict[CommandStatus, list[Move]] = {}
    for move in moves:
        by_target.setdefault(move.to, []).append(move)
    for to, group in by_target.items():
        moved = _update(me, to, group)
        worked.add(to, sum(1 for move in group if move.command.pk in moved and move.command.status != to))
        if to is CommandStatus.FAILED:
            _tell_of_failures(moved)


def _update(me: str, to: CommandStatus, moves: Sequence[Move]) -> set[int]:
    # A command that stays where it is keeps its status: it is looked at again.
    legal = {source.value for source in COMMAND_MOVES[to]} | {to.value for move in moves if move.command.status == to}
    with connection.cursor() as cursor:
        cursor.execute(
            SETTLE,
            {
                "to": to.value,
                "last": to not in OPEN_COMMANDS,
                "ids": [move.command.pk for move in moves],
                "details": [move.detail[:MAX_DETAIL] for move in moves],
                "after": [None if move.after is None else json.dumps(move.after) for move in moves],
                "due": [move.due_at for move in moves],
                "me": me,
                "legal": sorted(legal),
            },
        )
        return {pk for (pk,) in cursor.fetchall()}


def _tell_of_failures(ids: Iterable[int]) -> None:
    rows = MinerCommand.objects.filter(pk__in=list(ids)).values_list(
        "pk", "miner_id", "miner__serial_number", "miner__site_id", "batch_id", "batch__order", "detail"
    )
    names = ("miner_id", "serial_number", "site_id", "batch_id", "order", "detail")
    publish_many(
        "miner.command_failed",
        [
            Fact(
                f"miner:{miner_id}", dict(zip(names, (miner_id, *rest), strict=True)), dedupe_key=f"command:{pk}:failed"
            )
            for pk, miner_id, *rest in rows
        ],
    )


def expire(worked: Worked) -> None:
    """Give up what is not done by its batch's end; a row that somebody is at this moment is left to them."""
    late = CommandBatch.objects.filter(finished_at=None, expires_at__lte=Now()).values("pk")
    rows = MinerCommand.objects.filter(batch__in=late, status__in=COMMAND_MOVES[CommandStatus.EXPIRED])
    given_up = rows.exclude(claimed_until__gt=Now()).update(
        status=CommandStatus.EXPIRED,
        detail="not done in time: given up",
        finished_at=Now(),
        claimed_by=None,
        claimed_until=None,
    )
    worked.add(CommandStatus.EXPIRED, given_up)


@transaction.atomic
def finish_batches() -> int:
    """Close batches whose every machine has a result, and tell of each once."""
    still_open = MinerCommand.objects.filter(batch=OuterRef("pk"), status__in=OPEN_COMMANDS)
    done = CommandBatch.objects.filter(~Exists(still_open), finished_at=None)
    ids = list(done.order_by("pk").select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    if not ids:
        return 0
    CommandBatch.objects.filter(pk__in=ids, finished_at=None).update(finished_at=Now())
    publish_many(
        "miner.commands_finished",
        [
            Fact(
                f"command_batch:{batch.pk}",
                {"batch_id": batch.pk, "order": batch.order, "machines": batch.miners, "results": batch.counts()},
                dedupe_key=f"command_batch:{batch.pk}:finished",
            )
            for batch in CommandBatch.objects.filter(pk__in=ids)
        ],
    )
    return len(ids)
