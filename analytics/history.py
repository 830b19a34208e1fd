"""Many rows at once: an imported history, or the made-up one. Streamed by COPY, and the same again changes nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import attrgetter

from django.db import connection, transaction

from analytics.collect import generated_figures
from analytics.figures import Figures
from analytics.generated import BEGIN, STEP, floor
from analytics.models import Origin

Row = tuple[datetime, Figures]
"""The moment, and the figures of it."""

COLUMNS = ", ".join(field.name for field in fields(Figures))
columns = attrgetter(*(field.name for field in fields(Figures)))
STAGE = f"""
CREATE TEMPORARY TABLE market_stage ON COMMIT DROP AS
SELECT 0 AS line, bucket, created_at, {COLUMNS} FROM market_analytics WITH NO DATA
"""
# Of several rows in a quarter of an hour the last one counts: it is the close.
# What was collected stays, whatever a file says; made-up rows give way to both.
MERGE = f"""
WITH merged AS (
    INSERT INTO market_analytics AS kept (bucket, created_at, origin, {COLUMNS})
    SELECT DISTINCT ON (bucket) bucket, created_at, %(origin)s, {COLUMNS} FROM market_stage
    ORDER BY bucket, created_at DESC, line DESC
    ON CONFLICT (bucket) DO UPDATE SET (created_at, origin, {COLUMNS}) = ROW (EXCLUDED.created_at, EXCLUDED.origin,
        {", ".join(f"EXCLUDED.{field.name}" for field in fields(Figures))})
    WHERE (kept.origin = 'generated' OR kept.origin = %(origin)s AND kept.origin <> 'live')
        AND (kept.created_at, kept.origin, {", ".join(f"kept.{field.name}" for field in fields(Figures))})
        IS DISTINCT FROM (EXCLUDED.created_at, EXCLUDED.origin,
            {", ".join(f"EXCLUDED.{field.name}" for field in fields(Figures))})
    RETURNING id, (xmax = 0) AS inserted
), outdated AS (
    DELETE FROM technical_indicators USING merged WHERE analytics_id = merged.id AND NOT merged.inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted),
    (SELECT count(DISTINCT bucket) FROM market_stage)
FROM merged
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Quarters of an hour that are new, changed, and were as they are now (or better: collected)."""

    inserted: int
    updated: int
    unchanged: int


@transaction.atomic
def store_history(rows: Iterable[Row], origin: Origin) -> Stored:
    """Write the rows in one transaction, holding none of them in memory. Raises ValueError for collected ones."""
    if origin is Origin.LIVE:
        raise ValueError("What is collected is stored by collect_market().")
    with connection.cursor() as cursor:
        cursor.execute(STAGE)
        with cursor.cursor.copy("COPY market_stage FROM STDIN") as copy:
            for line, (at, found) in enumerate(rows):
                copy.write_row((line, floor(at), at, *columns(found)))
        cursor.execute(MERGE, {"origin": origin.value})
        inserted, updated, all_rows = cursor.fetchone()
        cursor.execute("DROP TABLE market_stage")
    return Stored(inserted, updated, all_rows - inserted - updated)


def made_up_rows(start: datetime, end: datetime) -> Iterator[Row]:
    """The made-up history of [start, end)."""
    at = max(floor(start), BEGIN)
    while at < end:
        yield at, generated_figures(at)
        at += STEP


def seed_generated(now: datetime, *, days: int) -> Stored:
    """The made-up history of the last `days`, up to and with the present quarter of an hour."""
    return store_history(made_up_rows(now - timedelta(days=days), now), Origin.GENERATED)
