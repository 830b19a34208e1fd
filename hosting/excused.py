"""The ledger of excused time: what plans and tickets kept from hashing without the farm's fault. Plans write, bills read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from hosting.models import ExcusedStretch
from hosting.states import Fault

# Both kinds in one multirange per machine, so that a repair during a curtailment counts once.
EXCUSED = """
SELECT miner_id, sum(extract(epoch FROM upper(part) - lower(part)))::bigint
FROM (
    SELECT miner_id, unnest(range_agg(stretch * tstzrange(%(start)s, %(end)s))) AS part
    FROM (
        SELECT miner_id, tstzrange(starts_at, COALESCE(ends_at, %(end)s)) AS stretch FROM maintenance_tickets
        WHERE miner_id = ANY(%(miners)s) AND fault = ANY(%(faults)s)
            AND starts_at < %(end)s AND (ends_at IS NULL OR ends_at > %(start)s)
        UNION ALL
        SELECT miner_id, tstzrange(starts_at, ends_at) FROM miner_excused_stretches
        WHERE %(curtailed)s AND miner_id = ANY(%(miners)s) AND starts_at < %(end)s AND ends_at > %(start)s
    ) AS stretches
    GROUP BY miner_id
) AS parts
WHERE NOT isempty(part) GROUP BY miner_id
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What curtailing one customer's machines avoided and saved, in one currency."""

    kwh_avoided: Decimal
    saved: Decimal
    currency: str
    stretches: int


def write_excused(stretches: Iterable[ExcusedStretch]) -> None:
    """Add stretches to the ledger; one that is there already (same machine, source and start) stays as it is."""
    ExcusedStretch.objects.bulk_create(stretches, ignore_conflicts=True, batch_size=2000)


def excused_seconds(
    miner_ids: Iterable[int],
    start: datetime,
    end: datetime,
    *,
    curtailed: bool = True,
    faults: Iterable[Fault] = (Fault.CLIENT, Fault.VENDOR),
) -> dict[int, int]:
    """Seconds within [start, end) that each machine was out by a plan (with `curtailed`) or by somebody else's fault.

    What overlaps counts once. Machines without such time are left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            EXCUSED,
            {
                "miners": list(miner_ids),
                "start": start,
                "end": end,
                "curtailed": curtailed,
                "faults": [str(fault) for fault in faults],
            },
        )
        return {miner_id: int(seconds) for miner_id, seconds in cursor.fetchall()}


SAVED = """
SELECT currency, sum(kwh_avoided), sum(saved), count(*) FROM miner_excused_stretches
WHERE client_id = %(client)s AND site_id = %(site)s AND starts_at >= %(start)s AND starts_at < %(end)s AND saved IS NOT NULL
GROUP BY currency ORDER BY currency
"""


def savings(client_id: UUID, site_id: int, start: datetime, end: datetime) -> list[Saved]:
    """Savings of stretches that began in [start, end), per currency; those without a known price are left out."""
    with connection.cursor() as cursor:
        cursor.execute(SAVED, {"client": client_id, "site": site_id, "start": start, "end": end})
        return [Saved(kwh or Decimal(), saved, currency, count) for currency, kwh, saved, count in cursor.fetchall()]
