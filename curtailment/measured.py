"""What readings say of machines that were off: one scan, in which PostgreSQL opens the days of the plan alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from curtailment.reckoning import Measured, Off, Slot

# One scan for both sums: per stretch and price, and per minute. A reading stands for its minute, cut to the stretch.
# GREATEST would make 0 of a hashrate that nobody knows. Power that was estimated is no reading, the hashrate beside it is one.
MEASURED = """
WITH offs AS (
    SELECT * FROM unnest(%(indexes)s::int[], %(miners)s::int[], %(froms)s::timestamptz[], %(untils)s::timestamptz[],
        %(baselines)s::numeric[], %(hashrates)s::numeric[]) AS o (i, miner_id, off_from, off_until, baseline_w, hashrate_ths)
), readings AS (
    SELECT o.i, t.recorded_at, width_bucket(t.recorded_at, %(slots)s::timestamptz[]) - 1 AS slot,
        extract(epoch FROM LEAST(t.recorded_at + interval '1 minute', o.off_until) - GREATEST(t.recorded_at, o.off_from)) AS s,
        t.power_consumption IS NOT NULL AND NOT t.power_estimated AS metered,
        GREATEST(0, o.baseline_w - t.power_consumption) AS avoided_w,
        CASE WHEN o.hashrate_ths > t.hashrate THEN o.hashrate_ths - t.hashrate
             WHEN o.hashrate_ths <= t.hashrate THEN 0 END AS forgone_ths
    FROM miner_telemetry t JOIN offs o ON o.miner_id = t.miner_id
        AND t.recorded_at > o.off_from - interval '1 minute' AND t.recorded_at < o.off_until
    WHERE t.recorded_at >= %(start)s AND t.recorded_at < %(end)s AND t.miner_id = ANY(%(miners)s)
)
SELECT i, slot, recorded_at, coalesce(sum(s) FILTER (WHERE metered), 0), coalesce(sum(s * avoided_w) FILTER (WHERE metered), 0),
    sum(s * forgone_ths)
FROM readings GROUP BY GROUPING SETS ((i, slot), (recorded_at))
"""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the scan found: per stretch its slots, and per minute (known_s, avoided_ws)."""

    of_stretch: dict[int, list[tuple[int, Measured]]]
    minutes: dict[datetime, tuple[Decimal, Decimal]]


def measure(
    offs: Sequence[tuple[Off, Decimal | None]], slots: Sequence[Slot], start: datetime, end: datetime
) -> Readings:
    """Scan the readings of these stretches (each with the hashrate of before) once."""
    readings = Readings(defaultdict(list), {})
    if not offs:
        return readings
    with connection.cursor() as cursor:
        cursor.execute(MEASURED, parameters(offs, slots, start, end))
        for at, slot, minute, known_s, avoided_ws, forgone_ths_s in cursor.fetchall():
            if minute is None:
                readings.of_stretch[at].append((slot, Measured(known_s, avoided_ws, forgone_ths_s)))
            else:
                readings.minutes[minute] = (known_s, avoided_ws)
    return readings


def parameters(
    offs: Sequence[tuple[Off, Decimal | None]], slots: Sequence[Slot], start: datetime, end: datetime
) -> dict[str, Any]:
    """Of MEASURED."""
    return {
        "indexes": list(range(len(offs))),
        "miners": [off.miner_id for off, _ in offs],
        "froms": [off.off_from for off, _ in offs],
        "untils": [off.off_until for off, _ in offs],
        "baselines": [off.baseline_w for off, _ in offs],
        "hashrates": [hashrate for _, hashrate in offs],
        "slots": [slot.starts_at for slot in slots],
        "start": start,
        "end": end,
    }
