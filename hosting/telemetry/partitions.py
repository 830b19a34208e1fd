"""Day partitions of miner_telemetry, by UTC day: made ahead, and indexed for one machine's history once the day is over."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

from minefarm.lib.clock import database_now

PARENT = "miner_telemetry"
CLOSED_AFTER = timedelta(hours=1)  # late readings of a day are in by then
# A day only grows, and is settled once it is over: few vacuums, none forced by inserts while it is being written.
UPKEEP = "autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.2"
ADVISORY_LOCK = 0x4D46_0001  # "MF", partitions: one maker at a time


@dataclass
class Maintenance:
    """What one run of maintain_partitions did; names of tables and indexes."""

    created: list[str] = field(default_factory=list)
    indexed: list[str] = field(default_factory=list)
    existing: int = 0


def partition_name(day: date) -> str:
    return f"{PARENT}_{day:%Y%m%d}"


def partition_days() -> list[date]:
    """Days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY c.relname",
            [PARENT],
        )
        names = [row[0] for row in cursor.fetchall()]
    return [datetime.strptime(name.removeprefix(f"{PARENT}_"), "%Y%m%d").replace(tzinfo=UTC).date() for name in names]


def _exists(relation: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [relation])
        row: tuple[bool] = cursor.fetchone()
    return row[0]


def create_partition(day: date) -> bool:
    """Make the day's partition; False when it is there. Blocks neither readers nor writers of other days."""
    name = partition_name(day)
    if _exists(name):
        return False
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        if _exists(name):
            return False
        # CREATE ... PARTITION OF would lock the whole table against reading; ATTACH does not.
        cursor.execute(f"CREATE TABLE {name} (LIKE {PARENT} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH ({UPKEEP})")
        cursor.execute(
            f"ALTER TABLE {PARENT} ATTACH PARTITION {name} FOR VALUES FROM ('{start.isoformat()}')"
            f" TO ('{(start + timedelta(days=1)).isoformat()}')"
        )
    return True


def index_closed_day(day: date) -> bool:
    """Build the day's (miner_id, recorded_at) index in bulk; False when it is there.

    On a day that is still being written this index would cost ten times the table's own WAL.
    """
    name = f"idx_telemetry_miner_time_{day:%Y%m%d}"
    if _exists(name):
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        if _exists(name):
            return False
        cursor.execute(f"CREATE INDEX {name} ON {partition_name(day)} (miner_id, recorded_at DESC)")
        cursor.execute(f"ANALYZE {partition_name(day)}")
    return True


def maintain_partitions(*, days_ahead: int) -> Maintenance:
    """Make today's partition and those of the next `days_ahead` days, and index the days that are over."""
    done = Maintenance()
    now = database_now().astimezone(UTC)
    for offset in range(days_ahead + 1):
        day = now.date() + timedelta(days=offset)
        if create_partition(day):
            done.created.append(partition_name(day))
    days = partition_days()
    done.existing = len(days)
    for day in days:
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if end + CLOSED_AFTER <= now and index_closed_day(day):
            done.indexed.append(f"idx_telemetry_miner_time_{day:%Y%m%d}")
    return done
