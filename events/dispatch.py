"""Carrying events from the outbox to their consumers: at least once, in the order of each aggregate, by any number of processes.

An event is claimed by a lease, not by an open transaction: a dispatcher that dies costs the rest of its lease, one that
hangs blocks nobody else. Results are fenced by who claimed and by the number of the attempt, so what a dispatcher reports
after its lease was taken over changes nothing. See docs/why/decisions/0008-outbox.md.
"""

import json
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from events.alerts import alert
from events.backoff import delay_s
from events.handlers import Consumer, batch_consumers, consume, hears, single_consumers
from events.models import OutboxEvent, OutboxStatus

log = logging.getLogger(__name__)

BATCH = 100
MAX_ERROR = 2000
WIDE = 2000  # rows looked at where the oldest ones are all blocked
SUSPECT_AFTER = 3  # attempts whose dispatcher died before the event is handled alone
FLUSH_S = 1.0  # results wait no longer than this for their UPDATE

# A window of due rows, locked for the moment. An event may go when every earlier pending one of its aggregate goes with it;
# the earliest one that does not is the aggregate's barrier. What stands behind a barrier that waits or is under a lease is
# parked, so that 100,000 blocked events are looked at once, not by every claim. A row that has changed since the statement's
# snapshot is not parked: somebody has just woken it.
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
    WHERE o.id = due.id AND due.id > gate.barrier AND gate.parked_until > statement_timestamp()
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

# All results of a batch, and the parked events whose turn has come.
MARK = """
WITH result AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(statuses)s::text[], %(delays)s::float8[],
        %(errors)s::text[], %(taken)s::int[]) AS r (id, attempts, status, delay_s, error, taken)
), marked AS (
    UPDATE outbox_events o SET status = r.status, last_error = r.error, locked_until = NULL, locked_by = NULL,
        attempts = o.attempts - 1 + r.taken,
        processed_at = CASE r.status WHEN 'processed' THEN clock_timestamp() END,
        next_attempt_at = COALESCE(clock_timestamp() + make_interval(secs => r.delay_s), o.next_attempt_at)
    FROM result r
    WHERE o.id = r.id AND o.status = 'pending' AND o.locked_by = %(holder)s AND o.attempts = r.attempts
    RETURNING o.id, o.aggregate_key, o.status
), next AS (
    SELECT waiting.id FROM (SELECT DISTINCT aggregate_key FROM marked WHERE status <> 'pending') AS done
    CROSS JOIN LATERAL (
        SELECT p.id FROM outbox_events p
        WHERE p.aggregate_key = done.aggregate_key AND p.status = 'pending'
          AND p.id <> ALL (%(ids)s::bigint[])
        ORDER BY p.id LIMIT %(batch)s
    ) AS waiting
), woken AS (
    UPDATE outbox_events o SET next_attempt_at = clock_timestamp()
    WHERE o.id IN (SELECT p.id FROM outbox_events p JOIN next USING (id)
                   WHERE p.next_attempt_at > statement_timestamp() ORDER BY p.id FOR NO KEY UPDATE OF p)
)
SELECT id, status FROM marked
"""


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


Pump = Callable[[float], int]
_pumps: list[Pump] = []


def register_pump(pump: Pump) -> Pump:
    """Let every pass also run `pump(deadline)`: it works until nothing is due or time.monotonic() is past the deadline.

    It returns how many it handled; with more than none it is called again soon.
    """
    _pumps.append(pump)
    return pump


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


def handle(found: Claim) -> int:
    """Let all consumers have the claimed events and report results; how many got one."""
    turns = [Turn(event) for event in found.events]
    failed_at: dict[str, int] = {}
    _handle_batched(turns, failed_at, found.hand_back_at)
    reported, unreported = 0, []
    flushed_at = time.monotonic()
    for turn in turns:
        _handle_singly(turn, failed_at, found.hand_back_at)
        unreported.append(turn)
        if time.monotonic() - flushed_at > FLUSH_S:
            reported += mark(found.holder, unreported)
            unreported, flushed_at = [], time.monotonic()
    return reported + mark(found.holder, unreported)


def _handle_batched(turns: Sequence[Turn], failed_at: dict[str, int], hand_back_at: float) -> None:
    for consumer in batch_consumers():
        heard = [turn for turn in turns if hears(consumer, turn.event) and _may_go(turn, failed_at)]
        if not heard:
            continue
        try:
            consume(consumer, [turn.event for turn in heard])
        except Exception as error:  # noqa: BLE001  a handler may raise anything
            log.warning("%s failed on %d events together, trying one by one: %s", consumer.name, len(heard), error)
        else:
            continue
        for turn in heard:
            if _may_go(turn, failed_at) and _in_time(turn, hand_back_at):
                _attempt(consumer, turn, failed_at)


def _handle_singly(turn: Turn, failed_at: dict[str, int], hand_back_at: float) -> None:
    if not _may_go(turn, failed_at):
        turn.taken = False
        return
    for consumer in single_consumers(turn.event):
        if not _in_time(turn, hand_back_at):
            return
        _attempt(consumer, turn, failed_at)


def _attempt(consumer: Consumer, turn: Turn, failed_at: dict[str, int]) -> None:
    try:
        consume(consumer, [turn.event])
    except Exception as error:  # noqa: BLE001  a handler may raise anything
        log.warning("%s failed on %s: %s", consumer.name, turn.event, error)
        turn.errors[consumer.name] = f"{type(error).__name__}: {error}"
        key, failed = turn.event.aggregate_key, turn.event.pk
        failed_at[key] = min(failed, failed_at.get(key, failed))


def _may_go(turn: Turn, failed_at: dict[str, int]) -> bool:
    """Whether no earlier event of the same thing has failed in this batch."""
    return turn.taken and failed_at.get(turn.event.aggregate_key, turn.event.pk) >= turn.event.pk


def _in_time(turn: Turn, hand_back_at: float) -> bool:
    turn.taken = turn.taken and time.monotonic() < hand_back_at
    return turn.taken


def mark(holder: str, turns: Sequence[Turn]) -> int:
    """Write the results in one statement; how many were still ours to write and were taken. Alerts about what has failed."""
    if not turns:
        return 0
    statuses, delays, errors = [], [], []
    for turn in turns:
        error = "; ".join(f"{name}: {text}" for name, text in turn.errors.items())[:MAX_ERROR] or None
        status, delay = OutboxStatus.PROCESSED, None
        if not turn.taken:
            status = OutboxStatus.PENDING
        elif turn.errors and turn.event.attempts >= settings.OUTBOX_MAX_ATTEMPTS:
            status = OutboxStatus.FAILED
        elif turn.errors:
            status = OutboxStatus.PENDING
            delay = delay_s(turn.event.attempts, chance=random.random(), schedule_s=settings.OUTBOX_BACKOFF_S)  # noqa: S311
        statuses.append(str(status))
        delays.append(delay)
        errors.append(error)
    with connection.cursor() as cursor:
        cursor.execute(
            MARK,
            {
                "ids": [turn.event.pk for turn in turns],
                "attempts": [turn.event.attempts for turn in turns],
                "taken": [int(turn.taken) for turn in turns],
                "statuses": statuses,
                "delays": delays,
                "errors": errors,
                "holder": holder,
                "batch": BATCH,
            },
        )
        written: dict[int, str] = dict(cursor.fetchall())
    _report_failed([turn for turn in turns if written.get(turn.event.pk) == OutboxStatus.FAILED])
    return sum(turn.taken and turn.event.pk in written for turn in turns)


def _report_failed(turns: Sequence[Turn]) -> None:
    if not turns:
        return
    lines = [f"{turn.event} about {turn.event.aggregate_key}: {'; '.join(turn.errors.values())}" for turn in turns[:10]]
    alert(
        "outbox",
        f"{len(turns)} events failed for good",
        "\n".join([*lines, "When the cause is gone: manage.py replay_outbox --failed"]),
    )


def dispatch_once(batch: int = BATCH) -> int:
    """Handle one batch of events; how many got a result. With 0 nothing is due that could go now."""
    found = claim_next(batch)
    if not found.events:
        return 0
    suspects = [event for event in found.events if event.attempts > settings.OUTBOX_MAX_ATTEMPTS]
    if suspects:  # claimed alone, see SUSPECT
        turn = Turn(suspects[0], {"dispatcher": "died while it handled this event, again and again"})
        return mark(found.holder, [turn])
    return handle(found)


def run_pumps(deadline: float) -> int:
    """One call of each pump; one that raises is logged and does not stop the others."""
    handled = 0
    for pump in _pumps:
        try:
            handled += pump(deadline)
        except Exception:
            log.exception("the pump %s failed", getattr(pump, "__qualname__", pump))
    return handled


def drain(*, batch: int = BATCH, seconds: float = 30.0, stopped: Callable[[], bool] = lambda: False) -> int:
    """Dispatch and pump until nothing is due, the time is over or `stopped()`; how many were handled."""
    deadline = time.monotonic() + seconds
    total = 0
    while not stopped() and time.monotonic() < deadline:
        handled = dispatch_once(batch) + run_pumps(deadline)
        total += handled
        if not handled:
            break
    return total
