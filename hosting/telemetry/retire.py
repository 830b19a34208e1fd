"""Taking whole days of readings out of the history: detached first, dropped a day later.

A day goes only when its hours are in the ledger with every reading that it holds. Whoever detached the wrong day has a day's
time to attach it again: `ALTER TABLE miner_telemetry ATTACH PARTITION ...`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from hosting.models import RetiredDay
from hosting.telemetry.partitions import ADVISORY_LOCK, PARENT, partition_days, partition_name
from hosting.telemetry.rollups import HELD_S, roll_up
from minefarm.lib.retention import Order, Outcome

DAYS_PER_RUN = 2
DETACHED_FOR = timedelta(days=1)
LOCK_TIMEOUT_S = 10

# Per machine and hour: more readings in the history than in the ledger. Readings of machines that are deleted or at no site
# belong to nobody.
MISSING = """
SELECT count(*), sum(raw.readings), min(raw.hour)
FROM (
    SELECT t.miner_id, date_trunc('hour', t.recorded_at, s.time_zone) AS hour, count(*) AS readings
    FROM miner_telemetry t
    JOIN hosting_miners m ON m.id = t.miner_id
    JOIN hosting_sites s ON s.id = m.site_id
    WHERE t.recorded_at >= %(start)s AND t.recorded_at < %(end)s
    GROUP BY 1, 2
) raw
WHERE raw.readings > COALESCE((
    SELECT max(h.samples) FROM miner_telemetry_hour h
    WHERE h.miner_id = raw.miner_id AND h.starts_at > raw.hour - interval '1 hour' AND h.starts_at <= raw.hour
), 0)
"""


@dataclass(frozen=True)
class Day:
    day: date

    @property
    def start(self) -> datetime:
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=1)


def retire_days(order: Order) -> Outcome:
    """Drop days that were detached a day ago, then detach the next two that are due; counts what is detached."""
    notes = _drop_detached(order)
    due = [Day(day) for day in partition_days() if Day(day).end <= order.before]
    rows = size_bytes = 0
    for day in due[:DAYS_PER_RUN]:
        if why := _why_it_stays(day, order):
            notes.append(f"{day.day} stays: {why}")
            break  # days go in order, so that what is kept is one piece
        try:
            readings, size = _retire(day, order)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            notes.append(
                f"{day.day} stays: a long transaction is reading it, a backup perhaps; the next run tries again"
            )
            break
        rows, size_bytes = rows + readings, size_bytes + size
        notes.append(
            f"{day.day}: {readings} readings{' would be' if order.dry_run else ''} detached, dropped a day later"
        )
    if len(due) > DAYS_PER_RUN:
        notes.append(f"{len(due)} days are due: {DAYS_PER_RUN} go at a time")
    return Outcome(rows, size_bytes, tuple(notes))


def _why_it_stays(day: Day, order: Order) -> str | None:
    if hold := order.held(PARENT, day.start, day.end):
        return f"held: {hold.reason}"
    return _not_in_the_ledger(day, dry_run=order.dry_run)


def _retire(day: Day, order: Order) -> tuple[int, int]:
    readings, size = _measure(day.day)
    if not order.dry_run:
        # Noted before it is done: killed in between, the day is merely found attached still, and retired again.
        RetiredDay.objects.update_or_create(
            day=day.day,
            defaults={"readings": readings, "size_bytes": size, "detached_at": order.now, "dropped_at": None},
        )
        _detach(day.day)
    return readings, size


def _not_in_the_ledger(day: Day, *, dry_run: bool) -> str | None:
    missing = _missing(day)
    if missing and not dry_run:
        # Not yet rolled up, or late readings since: one attempt, then a person must look.
        roll_up(day.start - timedelta(hours=1), day.end + timedelta(hours=1, seconds=HELD_S))
        missing = _missing(day)
    return missing


def _missing(day: Day) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(MISSING, {"start": day.start, "end": day.end})
        hours, readings, first = cursor.fetchone()
    if not hours:
        return None
    return (
        f"{readings} readings in {hours} machine-hours from {first:%H:%M} UTC are not in the ledger:"
        f" run `manage.py rollup_telemetry --since {day.day}`"
    )


def _measure(day: date) -> tuple[int, int]:
    name = partition_name(day)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT (SELECT count(*) FROM {name}), pg_total_relation_size(%s)", [name])
        rows, size = cursor.fetchone()
    return int(rows), int(size)


def _detach(day: date) -> None:
    """Without stopping readers and writers of other days; inside a caller's transaction, with a short lock instead."""
    name = partition_name(day)
    with connection.cursor() as cursor:
        if connection.in_atomic_block:
            cursor.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {name}")
            return
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        try:
            cursor.execute(
                "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s::regclass AND inhparent = %s::regclass",
                [name, PARENT],
            )
            (pending,) = cursor.fetchone()  # a detach that was killed half way
            cursor.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {name} {'FINALIZE' if pending else 'CONCURRENTLY'}")
        finally:
            cursor.execute("RESET lock_timeout")


def _drop_detached(order: Order) -> list[str]:
    notes = []
    for retired in RetiredDay.objects.filter(dropped_at=None).order_by("day"):
        day = Day(retired.day)
        if hold := order.held(PARENT, day.start, day.end):
            notes.append(f"{retired.day} is detached, and held: {hold.reason}")
        elif retired.detached_at + DETACHED_FOR > order.now:
            notes.append(f"{retired.day} is detached since {retired.detached_at:%Y-%m-%d %H:%M} UTC")
        else:
            if not order.dry_run:
                _drop(retired, order.now)
            notes.append(f"{retired.day}: {retired.size_bytes} bytes {'would be ' if order.dry_run else ''}dropped")
    return notes


def _drop(retired: RetiredDay, now: datetime) -> None:
    name = partition_name(retired.day)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        cursor.execute("SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(%s)", [name])
        if cursor.fetchone():  # somebody attached it again, or it was never detached
            retired.delete()
            return
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
        RetiredDay.objects.filter(pk=retired.pk).update(dropped_at=now)
