"""Leases on events: taken in one statement, given back with the results in one statement of each kind.

An event is claimed by a lease, not by an open transaction: a dispatcher that dies costs the rest of its lease, one that
hangs blocks nobody else. Results are fenced by who claimed and by the number of the attempt, so what a dispatcher reports
after its lease was taken over changes nothing. See docs/why/decisions/0008-outbox.md.
"""

import json
import os
import random
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from events.alerts import alert
from events.backoff import delay_s
from events.models import OutboxEvent, OutboxStatus

BATCH = 100
MAX_ERROR = 2000
WIDE = 2000  # rows looked at where the oldest ones are all blocked
SUSPECT_AFTER = 3  # attempts whose dispatcher died before the event is handled alone

# A window of due rows, locked for the moment. An event may go when every earlier pending one of its aggregate goes with it;
# the earliest one that does not is the aggregate's barrier. What stands behind a barrier that waits or is under a lease is
# parked, so that 100,000 blocked events are looked at once, not by every claim; what is due before its barrier is moved behind
# it. A row that has changed since the statement's snapshot is not parked: somebody has just woken it.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id, aggregate_key, next_attempt_at FROM outbox_events
    WHERE status = 'pending' AND next_attempt_at <= statement_timestamp() AND {free}
    ORDER BY next_attempt_at {direction}, id {direction} LIMIT %(window)s FOR NO KEY UPDATE SKIP LOCKED
), gate AS MATERIALIZED (
    SELECT key.aggregate_key, barrier.id AS barrier,
        CASE WHEN barrier.locked_until > statement_timestamp()
             THEN LEAST(barrier.locked_until, statement_timestamp() + interval '3 s')
             ELSE LEAST(barrier.next_attempt_at, statement_timestamp() + interval '10 min') END AS parked_until
    FROM (SELECT aggregate_key, max(id) AS last FROM due GROUP BY aggregate_key) AS key
    LEFT JOIN LATERAL (
        SELECT p.id, p.next_attempt_at, p.locked_until FROM outbox_events p
        WHERE p.aggregate_key = key.aggregate_key AND p.status = 'pending' AND p.id < key.last
          AND p.id <> ALL (ARRAY(SELECT id FROM due))
        ORDER BY p.id LIMIT 1
    ) AS barrier ON true
), free AS MATERIALIZED (
    SELECT due.id FROM due JOIN gate USING (aggregate_key)
    WHERE gate.barrier IS NULL OR due.id < gate.barrier ORDER BY due.id LIMIT %(batch)s
), claimed AS (
    UPDATE outbox_events o SET attempts = o.attempts + 1, locked_by = %(holder)s,
        locked_until = clock_timestamp() + make_interval(secs => %(lease)s)
    FROM free WHERE o.id = free.id
    RETURNING o.id, o.event_uuid, o.event_type, o.version, o.aggregate_key, o.aggregate_seq, o.client_id, o.payload,
        o.attempts, o.locked_by, o.created_at
), parked AS (
    UPDATE outbox_events o SET next_attempt_at = gate.parked_until
    FROM due JOIN gate USING (aggregate_key) JOIN outbox_events seen ON seen.id = due.id
    WHERE o.id = due.id AND due.id > gate.barrier AND gate.parked_until > due.next_attempt_at
      AND seen.next_attempt_at = due.next_attempt_at
    RETURNING o.id
)
SELECT (SELECT count(*) FROM parked), claimed.*
FROM (SELECT) AS always LEFT JOIN claimed ON true ORDER BY claimed.id
"""
NEVER_OR_SELDOM_ORPHANED = (
    "(locked_until IS NULL OR (locked_until < statement_timestamp() AND attempts < %(suspect_after)s))"
)
OFTEN_ORPHANED = "(locked_until < statement_timestamp() AND attempts >= %(suspect_after)s)"
OLDEST = CLAIM.format(free=NEVER_OR_SELDOM_ORPHANED, direction="ASC")
NEWEST = CLAIM.format(free=NEVER_OR_SELDOM_ORPHANED, direction="DESC")
SUSPECT = CLAIM.format(free=OFTEN_ORPHANED, direction="ASC")
CLAIMED = [
    "id",
    "event_uuid",
    "event_type",
    "version",
    "aggregate_key",
    "aggregate_seq",
    "client_id",
    "payload",
    "attempts",
    "locked_by",
    "created_at",
]

# Results of a batch, and the parked events whose turn has come. A holder's name is used for one claim only, so that it is a
# fence by itself; the number of the attempt is compared all the same. The next of each thing is touched even if it is not parked:
# a claim that is about to park it waits for us or we for it, and then sees that it has changed.
MARK = """
WITH marked AS ({update} RETURNING o.id, o.aggregate_key, o.status
), next AS (
    SELECT waiting.id FROM (SELECT DISTINCT aggregate_key FROM marked WHERE status <> 'pending') AS done
    CROSS JOIN LATERAL (
        SELECT first.id, first.next_attempt_at, row_number() OVER (ORDER BY first.id) AS place FROM (
            SELECT p.id, p.next_attempt_at FROM outbox_events p
            WHERE p.aggregate_key = done.aggregate_key AND p.status = 'pending' AND p.id <> ALL (%(ids)s::bigint[])
            ORDER BY p.id LIMIT %(batch)s
        ) AS first
    ) AS waiting
    WHERE waiting.place = 1 OR waiting.next_attempt_at > statement_timestamp()
), woken AS (
    UPDATE outbox_events o SET next_attempt_at =
        CASE WHEN o.next_attempt_at > statement_timestamp() THEN clock_timestamp()
             ELSE o.next_attempt_at - interval '1 microsecond' END
    WHERE o.id IN (SELECT p.id FROM outbox_events p JOIN next USING (id) ORDER BY p.id FOR NO KEY UPDATE OF p)
)
SELECT id, status FROM marked
"""
MARK_PROCESSED = MARK.format(
    update="""
    UPDATE outbox_events o SET status = 'processed', processed_at = clock_timestamp(), last_error = NULL,
        locked_until = NULL, locked_by = NULL
    WHERE o.id = ANY (%(ids)s::bigint[]) AND o.status = 'pending' AND o.locked_by = %(holder)s"""
)
MARK_OTHERS = MARK.format(
    update="""
    UPDATE outbox_events o SET status = r.status, last_error = r.error, locked_until = NULL, locked_by = NULL,
        attempts = o.attempts - 1 + r.taken,
        next_attempt_at = COALESCE(clock_timestamp() + make_interval(secs => r.delay_s), o.next_attempt_at)
    FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(statuses)s::text[], %(delays)s::float8[], %(errors)s::text[],
        %(taken)s::int[]) AS r (id, attempts, status, delay_s, error, taken)
    WHERE o.id = ANY (%(ids)s::bigint[]) AND o.id = r.id AND o.attempts = r.attempts
      AND o.status = 'pending' AND o.locked_by = %(holder)s"""
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim found: the number of rows parked, and the events that this process may handle now, oldest first."""

    parked: int
    events: list[OutboxEvent]
    holder: str
    hand_back_at: float  # by time.monotonic(): what has not begun by then is handed back untouched


@dataclass(slots=True)
class Turn:
    """One event's turn: errors by consumer, and whether it was taken at all."""

    event: OutboxEvent
    errors: dict[str, str] = field(default_factory=dict)
    taken: bool = True


def claim(batch: int, *, statement: str = OLDEST, window: int | None = None) -> Claim:
    """Lease up to `batch` events in one statement, which must be a transaction of its own."""
    if connection.in_atomic_block:
        raise RuntimeError(
            "A claim inside a transaction would be seen by nobody: dispatch outside transaction.atomic()."
        )
    lease_s = settings.OUTBOX_LEASE_S
    holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
    hand_back_at = time.monotonic() + lease_s * 0.75  # counted from before the lease begins
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                "batch": batch,
                "window": window or batch,
                "holder": holder,
                "lease": lease_s,
                "suspect_after": SUSPECT_AFTER,
            },
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    events = [_event(row[1:]) for row in rows if row[1] is not None]
    return Claim(rows[0][0], events, holder, hand_back_at)


def _event(row: tuple[Any, ...]) -> OutboxEvent:
    values = dict(zip(CLAIMED, row, strict=True))
    values["payload"] = json.loads(values["payload"])
    return OutboxEvent.from_db("default", list(values), list(values.values()))


def claim_next(batch: int) -> Claim:
    """Lease what may go now. Blocked rows at the old end cost time once; meanwhile the new end is looked at in turn."""
    window = batch
    while True:
        for statement in (OLDEST, NEWEST) if window > batch else (OLDEST,):
            found = claim(batch, statement=statement, window=window)
            if found.events:
                return found
        if not found.parked:
            return claim(1, statement=SUSPECT)
        window = max(WIDE, batch)


def mark(holder: str, turns: Sequence[Turn]) -> int:
    """Write the results in one statement of each kind; how many were still ours to write. Alerts about what has failed."""
    processed = [turn for turn in turns if turn.taken and not turn.errors]
    others = [turn for turn in turns if not turn.taken or turn.errors]
    written = {}
    if processed:
        written = _write(MARK_PROCESSED, holder, processed, {})
    if others:
        results = [_result(turn) for turn in others]
        columns = dict(zip(("statuses", "delays", "errors"), map(list, zip(*results, strict=True)), strict=True))
        columns["attempts"] = [turn.event.attempts for turn in others]
        columns["taken"] = [int(turn.taken) for turn in others]
        written |= _write(MARK_OTHERS, holder, others, columns)
        _report_failed([turn for turn in others if written.get(turn.event.pk) == OutboxStatus.FAILED])
    return sum(turn.taken and turn.event.pk in written for turn in turns)


def _result(turn: Turn) -> tuple[str, float | None, str | None]:
    """Status, wait in seconds and error of an event that is not processed."""
    error = "; ".join(f"{name}: {text}" for name, text in turn.errors.items())[:MAX_ERROR] or None
    if not turn.taken:
        return OutboxStatus.PENDING.value, None, error
    if turn.event.attempts >= settings.OUTBOX_MAX_ATTEMPTS:
        return OutboxStatus.FAILED.value, None, error
    wait_s = delay_s(turn.event.attempts, chance=random.random(), schedule_s=settings.OUTBOX_BACKOFF_S)  # noqa: S311
    return OutboxStatus.PENDING.value, wait_s, error


def _write(statement: str, holder: str, turns: Sequence[Turn], columns: dict[str, Any]) -> dict[int, str]:
    values: dict[str, Any] = {"ids": [turn.event.pk for turn in turns], "holder": holder, "batch": BATCH}
    with connection.cursor() as cursor:
        cursor.execute(statement, values | columns)
        return dict(cursor.fetchall())


def _report_failed(turns: Sequence[Turn]) -> None:
    if not turns:
        return
    lines = [f"{turn.event} about {turn.event.aggregate_key}: {'; '.join(turn.errors.values())}" for turn in turns[:10]]
    alert(
        "outbox",
        f"{len(turns)} events failed for good",
        "\n".join([*lines, "When the cause is gone: manage.py replay_outbox --failed"]),
    )
