"""Storing a sweep: one transaction, whatever the number of machines.

The history is appended by COPY. What else a sweep changes (latest readings, five-minute sums, statuses) is computed by
PostgreSQL from a temporary copy of the sweep. A minute that was stored before only gains the readings that it lacks, so
overlapping or repeated sweeps cannot double anything.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import orjson
from django.db import connection, transaction
from psycopg import Cursor
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from events.locks import Fence
from events.outbox import Fact, publish_many
from hosting.telemetry import binary
from hosting.telemetry.partitions import create_partition, partition_name

OFFLINE_AFTER = "5 minutes"


@dataclass(slots=True)
class Row:
    """One polled machine: its reading in integers of hundredths, or why there is none."""

    miner_id: int
    client_id: UUID | None
    error: str | None
    hashrate_centi_ths: int | None = None
    hashrate_avg_centi_ths: int | None = None
    temperature_centi_c: int | None = None
    power_centi_w: int | None = None
    power_estimated: bool = False
    fan_rpm: tuple[int, ...] = ()
    uptime_s: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    hardware_errors: int | None = None

    @property
    def fan_centi_rpm(self) -> int | None:
        return round(100 * sum(self.fan_rpm) / len(self.fan_rpm)) if self.fan_rpm else None


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """What the collector tells about the sweep beside its rows."""

    site_id: int
    minute: datetime
    rejected_values: Mapping[str, int]
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sweep's rows as PostgreSQL takes them, and why machines gave none."""

    history: bytes
    everything: bytes
    miners: int
    failed: Mapping[str, int]

    @property
    def readings(self) -> int:
        """Machines that gave one."""
        return self.miners - sum(self.failed.values())


@dataclass(frozen=True, slots=True)
class Stored:
    """What the transaction did: readings of the minute now in the history, and machines whose status moved."""

    stored: int
    went_offline: int
    came_online: int


def store_sweep(facts: SweepFacts, rows: Sequence[Row], *, lock: Fence | None = None) -> Stored:
    """Write one minute of one site. Raises LockLost, and then nothing is written."""
    create_partition(facts.minute.astimezone(UTC).date())  # there already, unless maintenance has not run for a week
    return store_encoded(facts, encode(facts.minute, rows), lock=lock)


def store_encoded(facts: SweepFacts, encoded: Encoded, *, lock: Fence | None = None) -> Stored:
    """The transaction itself, of rows that are encoded already. Errors are Django's, though the cursor is psycopg's own."""
    with connection.wrap_database_errors, transaction.atomic(), connection.cursor() as wrapper:
        cursor = cast("Cursor[Any]", wrapper.cursor)
        if lock is not None:
            lock.fence()
        first = _claim_minute(cursor, facts, encoded)
        _load_sweep(cursor, encoded.everything)
        if first:
            _append_history(cursor, facts.minute, encoded.history)
        else:
            _complete_history(cursor, facts.minute)
        _update_latest(cursor, facts.minute, encoded)
        _add_to_buckets(cursor, facts, minutes=1 if first else 0)
        stored = encoded.readings if first else _record_again(cursor, facts, encoded)
        offline, online = _move_statuses(cursor, facts, any_failed=bool(encoded.failed))
        _count_site(cursor, facts.site_id)
    return Stored(stored=stored, went_offline=offline, came_online=online)


RECORD_MINUTE = """
INSERT INTO telemetry_sweeps (site_id, minute, miners, stored, failed, rejected_values, wall_s, cpu_s)
VALUES (%(site)s, %(minute)s, %(miners)s, %(stored)s, %(failed)s, %(rejected)s, %(wall_s)s, %(cpu_s)s)
ON CONFLICT DO NOTHING
"""
RECORD_AGAIN = """
UPDATE telemetry_sweeps SET
    miners = %(miners)s, failed = %(failed)s, rejected_values = %(rejected)s, wall_s = %(wall_s)s, cpu_s = %(cpu_s)s,
    stored = (SELECT count(*) FROM sweep s WHERE s.error IS NULL OR EXISTS (
        SELECT FROM miner_telemetry t WHERE t.recorded_at = %(minute)s AND t.miner_id = s.miner_id))
WHERE site_id = %(site)s AND minute = %(minute)s
RETURNING stored
"""


def _minute_values(facts: SweepFacts, encoded: Encoded) -> dict[str, Any]:
    return {
        "site": facts.site_id,
        "minute": facts.minute,
        "miners": encoded.miners,
        "stored": encoded.readings,
        "failed": Jsonb(dict(encoded.failed)),
        "rejected": Jsonb(dict(facts.rejected_values)),
        "wall_s": round(facts.wall_s, 3),
        "cpu_s": round(facts.cpu_s, 3),
    }


def _claim_minute(cursor: "Cursor[Any]", facts: SweepFacts, encoded: Encoded) -> bool:
    """Record the minute; False when an earlier sweep of the site has."""
    cursor.execute(RECORD_MINUTE, _minute_values(facts, encoded))
    return cursor.rowcount == 1


def _record_again(cursor: "Cursor[Any]", facts: SweepFacts, encoded: Encoded) -> int:
    """Correct the record of a repeated minute; return the readings of it that are in the history now."""
    cursor.execute(RECORD_AGAIN, _minute_values(facts, encoded))
    return cast("tuple[int]", cursor.fetchone())[0]


# One round trip. "Already exists" is the normal case; two sweeps may share a transaction of the caller; and the planner, who
# knows nothing of a temporary table, would otherwise look up each machine by index.
SWEEP_TABLE = """
SET LOCAL client_min_messages = warning;
SET LOCAL enable_nestloop = off;
CREATE TEMPORARY TABLE IF NOT EXISTS sweep (
    miner_id integer, power_estimated boolean,
    hashrate numeric(10, 2), temperature numeric(5, 2), power numeric(10, 2), fan numeric(10, 2),
    client_id uuid, error text, fresh boolean, hashrate_avg numeric(10, 2), fan_rpm integer[],
    uptime_s bigint, accepted bigint, rejected bigint, hardware_errors bigint
) ON COMMIT DELETE ROWS;
DELETE FROM sweep
"""
SWEEP_COLUMNS = 15
HISTORY_COPY = (
    "COPY {partition} (recorded_at, miner_id, power_estimated, hashrate, temperature, power_consumption, fan_speed)"
    " FROM STDIN (FORMAT BINARY)"
)
HISTORY_COLUMNS = 7


def history_copy(minute: datetime) -> str:
    """The COPY into the day's own partition: routing each row through the parent costs a tenth more."""
    return HISTORY_COPY.format(partition=partition_name(minute.astimezone(UTC).date()))


UUID_LENGTH = b"\x00\x00\x00\x10"


def encode(minute: datetime, rows: Sequence[Row]) -> Encoded:
    """The rows as two COPY streams: the good readings for miner_telemetry, and all for the temporary table."""
    at, number, count = binary.timestamptz(minute), binary.numeric_or_null, binary.int8_or_null
    good, everything = [], []
    for row in rows:
        reading = b"".join(
            (
                binary.int4(row.miner_id),
                binary.TRUE if row.power_estimated else binary.FALSE,
                number(row.hashrate_centi_ths),
                number(row.temperature_centi_c),
                number(row.power_centi_w),
                number(row.fan_centi_rpm),
            )
        )
        owner = binary.NULL if row.client_id is None else UUID_LENGTH + row.client_id.bytes
        if row.error is not None:
            everything.append(reading + owner + binary.text_or_null(row.error) + binary.FALSE + binary.NULL * 6)
            continue
        good.append(at + reading)
        everything.append(
            b"".join(
                (
                    reading,
                    owner,
                    binary.NULL,
                    binary.TRUE,
                    number(row.hashrate_avg_centi_ths),
                    binary.int4_array(row.fan_rpm),
                    count(row.uptime_s),
                    count(row.accepted),
                    count(row.rejected),
                    count(row.hardware_errors),
                )
            )
        )
    return Encoded(
        history=binary.copy_stream(HISTORY_COLUMNS, good),
        everything=binary.copy_stream(SWEEP_COLUMNS, everything),
        miners=len(rows),
        failed=Counter(row.error for row in rows if row.error is not None),
    )


FRAME = struct.Struct("!III")  # lengths of header, history and everything


def pack(facts: SweepFacts, encoded: Encoded) -> bytes:
    """A sweep as one run of bytes, to be stored later."""
    about = {
        "site": facts.site_id,
        "minute": facts.minute.isoformat(),
        "rejected": dict(facts.rejected_values),
        "wall_s": facts.wall_s,
        "cpu_s": facts.cpu_s,
        "miners": encoded.miners,
        "failed": dict(encoded.failed),
    }
    parts = (orjson.dumps(about), encoded.history, encoded.everything)
    return FRAME.pack(*map(len, parts)) + b"".join(parts)


def unpack(content: bytes) -> tuple[SweepFacts, Encoded]:
    """What `pack` was given."""
    about_end, history_length, _ = FRAME.unpack_from(content)
    about_end += FRAME.size
    history_end = about_end + history_length
    about = orjson.loads(content[FRAME.size : about_end])
    minute = datetime.fromisoformat(about["minute"])
    facts = SweepFacts(about["site"], minute, about["rejected"], about["wall_s"], about["cpu_s"])
    return facts, Encoded(content[about_end:history_end], content[history_end:], about["miners"], about["failed"])


def _load_sweep(cursor: "Cursor[Any]", stream: bytes) -> None:
    cursor.execute(SWEEP_TABLE)
    with cursor.copy("COPY sweep FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(stream)


def _append_history(cursor: "Cursor[Any]", minute: datetime, stream: bytes) -> None:
    try:
        with transaction.atomic(), cursor.copy(history_copy(minute)) as copy:
            copy.write(stream)
    except UniqueViolation:  # a machine that changed site within the minute has its reading; COPY knows no ON CONFLICT
        _complete_history(cursor, minute)


def _complete_history(cursor: "Cursor[Any]", minute: datetime) -> None:
    cursor.execute(
        "UPDATE sweep s SET fresh = false FROM miner_telemetry t WHERE t.recorded_at = %s AND t.miner_id = s.miner_id",
        [minute],
    )
    cursor.execute(
        "INSERT INTO miner_telemetry"
        " (recorded_at, miner_id, power_estimated, hashrate, temperature, power_consumption, fan_speed)"
        " SELECT %s, miner_id, power_estimated, hashrate, temperature, power, fan FROM sweep WHERE fresh"
        " ON CONFLICT DO NOTHING",
        [minute],
    )


UPDATE_LATEST = """
UPDATE miner_latest l SET
    attempted_at = %(minute)s, seen_at = %(minute)s, error = NULL,
    hashrate_ths = s.hashrate, hashrate_avg_ths = s.hashrate_avg, temperature_c = s.temperature,
    power_w = s.power, power_estimated = s.power_estimated, fan_rpm = s.fan_rpm,
    uptime_s = s.uptime_s, accepted = s.accepted, rejected = s.rejected, hardware_errors = s.hardware_errors
FROM sweep s WHERE l.miner_id = s.miner_id AND s.error IS NULL AND l.attempted_at <= %(minute)s
"""
UPDATE_FAILED = """
UPDATE miner_latest l SET attempted_at = %(minute)s, error = s.error
FROM sweep s WHERE l.miner_id = s.miner_id AND s.error IS NOT NULL AND l.attempted_at < %(minute)s
"""
INSERT_LATEST = """
INSERT INTO miner_latest (miner_id, attempted_at, seen_at, error, hashrate_ths, hashrate_avg_ths, temperature_c, power_w,
    power_estimated, fan_rpm, uptime_s, accepted, rejected, hardware_errors)
SELECT s.miner_id, %(minute)s, CASE WHEN s.error IS NULL THEN %(minute)s::timestamptz END, s.error, s.hashrate, s.hashrate_avg,
    s.temperature, s.power, s.power_estimated, COALESCE(s.fan_rpm, '{}'), s.uptime_s, s.accepted, s.rejected, s.hardware_errors
FROM sweep s JOIN hosting_miners m ON m.id = s.miner_id  -- a machine deleted since the sweep began is left out
WHERE NOT EXISTS (SELECT FROM miner_latest l WHERE l.miner_id = s.miner_id)
"""


def _update_latest(cursor: "Cursor[Any]", minute: datetime, encoded: Encoded) -> None:
    values = {"minute": minute}
    cursor.execute(UPDATE_LATEST, values)
    known = cursor.rowcount
    if encoded.failed:
        cursor.execute(UPDATE_FAILED, values)
        known += cursor.rowcount
    if known < encoded.miners:
        cursor.execute(INSERT_LATEST, values)


BUCKET_COLUMNS = "bucket, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples, temperature_max_c"
# The first row of a bucket stands for one minute; a repeated minute (minutes = 0) then adds readings and no time.
BUCKET_ADD = """
DO UPDATE SET
    minutes = old.minutes + %(minutes)s, samples = old.samples + EXCLUDED.samples,
    hashrate_ths_sum = CASE WHEN old.hashrate_ths_sum IS NULL THEN EXCLUDED.hashrate_ths_sum
        ELSE old.hashrate_ths_sum + COALESCE(EXCLUDED.hashrate_ths_sum, 0) END,
    power_w_sum = CASE WHEN old.power_w_sum IS NULL THEN EXCLUDED.power_w_sum
        ELSE old.power_w_sum + COALESCE(EXCLUDED.power_w_sum, 0) END,
    estimated_samples = old.estimated_samples + EXCLUDED.estimated_samples,
    temperature_max_c = GREATEST(old.temperature_max_c, EXCLUDED.temperature_max_c)
"""
# The site's sums and each client's from one look at the sweep.
ADD_TO_BUCKETS = f"""
WITH sums (client_id, whole_site, {BUCKET_COLUMNS}) AS MATERIALIZED (
    SELECT client_id, grouping(client_id) = 1 AS whole_site,
        date_bin('5 minutes', %(minute)s::timestamptz, 'epoch'::timestamptz), 1,
        count(*) FILTER (WHERE fresh), sum(hashrate) FILTER (WHERE fresh), sum(power) FILTER (WHERE fresh),
        count(*) FILTER (WHERE fresh AND power_estimated), max(temperature) FILTER (WHERE fresh)
    FROM sweep GROUP BY GROUPING SETS ((client_id), ())
), of_the_site AS (
    INSERT INTO site_telemetry_5min AS old (site_id, {BUCKET_COLUMNS})
    SELECT %(site)s, {BUCKET_COLUMNS} FROM sums WHERE whole_site
    ON CONFLICT (site_id, bucket) {BUCKET_ADD}
)
INSERT INTO client_telemetry_5min AS old (client_id, site_id, {BUCKET_COLUMNS})
SELECT client_id, %(site)s, {BUCKET_COLUMNS} FROM sums WHERE client_id IS NOT NULL
ON CONFLICT (client_id, site_id, bucket) {BUCKET_ADD}
"""


def _add_to_buckets(cursor: "Cursor[Any]", facts: SweepFacts, *, minutes: int) -> None:
    cursor.execute(ADD_TO_BUCKETS, {"site": facts.site_id, "minute": facts.minute, "minutes": minutes})


# One UPDATE each, the legal source in its WHERE: maintenance and curtailed are never touched.
GO_OFFLINE = f"""
UPDATE hosting_miners m SET status = 'offline', updated_at = clock_timestamp()
FROM sweep s JOIN miner_latest l USING (miner_id)
WHERE m.id = s.miner_id AND m.status = 'active' AND s.error IS NOT NULL
  AND COALESCE(l.seen_at, m.created_at) <= %(minute)s - interval '{OFFLINE_AFTER}'
RETURNING m.id, m.serial_number, m.client_id, l.seen_at, s.error
"""
COME_ONLINE = """
UPDATE hosting_miners m SET status = 'active', updated_at = clock_timestamp()
FROM sweep s JOIN miner_latest l USING (miner_id)
WHERE m.id = s.miner_id AND m.status = 'offline' AND l.seen_at = %(minute)s
RETURNING m.id, m.serial_number, m.client_id, l.seen_at, s.error
"""


def _move_statuses(cursor: "Cursor[Any]", facts: SweepFacts, *, any_failed: bool) -> tuple[int, int]:
    moved = []
    for operation, statement, possible in (("offline", GO_OFFLINE, any_failed), ("online", COME_ONLINE, True)):
        found = []
        if possible:
            cursor.execute(statement, {"minute": facts.minute})
            found = cursor.fetchall()
        moved.append(len(found))
        if found:
            _report_moves(cursor, operation, facts, found)
    return moved[0], moved[1]


# Machines that nobody asked: no row of theirs is in a sweep.
GO_SILENT = f"""
UPDATE hosting_miners m SET status = 'offline', updated_at = clock_timestamp()
FROM hosting_miners x LEFT JOIN miner_latest l ON l.miner_id = x.id
WHERE m.id = x.id AND x.site_id = %(site)s AND x.cgminer_enabled AND x.cgminer_ip IS NOT NULL AND m.status = 'active'
  AND COALESCE(l.seen_at, x.created_at) <= %(minute)s - interval '{OFFLINE_AFTER}'
RETURNING m.id, m.serial_number, m.client_id, l.seen_at, 'agent silent'
"""


def take_silent_offline(site_id: int, now: datetime, *, lock: Fence) -> int:
    """Move active machines of a site that nobody reads to offline; how many. Raises LockLost."""
    facts = SweepFacts(site_id, now, {}, 0.0, 0.0)
    with connection.wrap_database_errors, transaction.atomic(), connection.cursor() as wrapper:
        cursor = cast("Cursor[Any]", wrapper.cursor)
        lock.fence()
        cursor.execute(GO_SILENT, {"site": site_id, "minute": now})
        found = cursor.fetchall()
        if found:
            _report_moves(cursor, "offline", facts, found)
            _count_site(cursor, site_id)
    return len(found)


def _report_moves(
    cursor: "Cursor[Any]",
    operation: str,
    facts: SweepFacts,
    found: list[tuple[int, str, UUID | None, datetime | None, str | None]],
) -> None:
    """One operation-log line and one event per machine, in the sweep's transaction."""
    details = [
        "answers again"
        if operation == "online"
        else f"last good reading {seen_at:%Y-%m-%d %H:%M} UTC; {error}"
        if seen_at
        else f"never read; {error}"
        for *_, seen_at, error in found
    ]
    cursor.execute(
        "INSERT INTO miner_operation_log (miner_id, operation, details)"
        " SELECT miner_id, %s, details FROM unnest(%s::int[], %s::text[]) AS moved (miner_id, details)",
        [operation, [miner_id for miner_id, *_ in found], details],
    )
    publish_many(
        f"miner.{operation}",
        [
            Fact(
                f"miner:{miner_id}",
                {
                    "miner_id": miner_id,
                    "serial_number": serial,
                    "site_id": facts.site_id,
                    "at": facts.minute.isoformat(),
                    "last_reading_at": seen_at.isoformat() if seen_at else None,
                    "error": error,
                },
                client_id,
            )
            for miner_id, serial, client_id, seen_at, error in found
        ],
    )


def _count_site(cursor: "Cursor[Any]", site_id: int) -> None:
    cursor.execute(
        "UPDATE hosting_sites s SET total_miners = now.total, active_miners = now.active"
        " FROM (SELECT count(*) AS total, count(*) FILTER (WHERE status = 'active') AS active"
        "       FROM hosting_miners WHERE site_id = %(site)s) now"
        " WHERE s.id = %(site)s AND (s.total_miners, s.active_miners) IS DISTINCT FROM (now.total, now.active)",
        {"site": site_id},
    )
