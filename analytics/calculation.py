"""Indicators of the stored market: what is due, or a range again. docs/why/decisions/0025-indicators.md

A run carries its floats from row to row (`technical_indicators.state`), so a new close costs a look at 40 others, and gives to
the last digit what computing the whole run anew would give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from django.db import connection, transaction

from analytics.indicators import MAX_MISSING, PARAMETERS, TAIL, Run, State, Values
from analytics.models import BUCKET, MarketSnapshot, Origin, TechnicalIndicator

STAGE = """
CREATE TEMPORARY TABLE indicator_stage (
    analytics_id bigint, rsi numeric, macd numeric, macd_signal numeric, macd_histogram numeric, bb_upper numeric,
    bb_middle numeric, bb_lower numeric, ema_12 numeric, ema_26 numeric, signal text, run_started_at timestamptz,
    run_length integer, missing_before integer, state double precision[], parameters text
) ON COMMIT DROP
"""
NAMES = (
    *(
        "rsi",
        "macd",
        "macd_signal",
        "macd_histogram",
        "bb_upper",
        "bb_middle",
        "bb_lower",
        "ema_12",
        "ema_26",
        "signal",
    ),
    *("run_started_at", "run_length", "missing_before", "state", "parameters"),
)
COLUMNS = ", ".join(NAMES)
MERGE = f"""
INSERT INTO technical_indicators AS kept (analytics_id, {COLUMNS})
SELECT analytics_id, {COLUMNS} FROM indicator_stage
ON CONFLICT (analytics_id) DO UPDATE SET ({COLUMNS}, created_at) = ROW ({", ".join(f"EXCLUDED.{name}" for name in NAMES)},
    clock_timestamp())
WHERE ({", ".join(f"kept.{name}" for name in NAMES)}) IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in NAMES)})
RETURNING analytics_id
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('analytics.calculate_indicators'))"


@dataclass(frozen=True, slots=True)
class Calculated:
    """`computed` closes from `since` on, of which `changed` gave other values than were stored; `runs` that began anew."""

    computed: int
    changed: int
    runs: int
    since: datetime | None
    until: datetime | None


@dataclass(slots=True)
class Series:
    """Where a computation stands: the run, its beginning, and the close before."""

    run: Run
    began: datetime | None = None
    before: datetime | None = None
    made_up: bool = False
    runs: int = 0

    def take(self, bucket: datetime, close: Decimal, *, made_up: bool) -> tuple[Values, int | None]:
        """The values after this close, and the quarters of an hour without a price before it.

        A longer gap ends the run, and so does a change between a made-up and a real price: neither says anything of the other.
        """
        missing = None if self.before is None else (bucket - self.before) // BUCKET - 1
        if missing is None or missing > MAX_MISSING or made_up != self.made_up:
            self.run, self.began, self.made_up = Run(), bucket, made_up
            self.runs += 1
        self.before = bucket
        return self.run.add(close), missing


@transaction.atomic
def calculate_indicators(since: datetime | None = None, until: datetime | None = None) -> Calculated:
    """Compute every close from `since` on and before `until`; without `since`, from the first that has no indicators yet."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK)  # two passes at once would each write the same rows
    priced = MarketSnapshot.objects.priced()
    due = priced.filter(indicators=None).order_by("bucket").values_list("bucket", flat=True).first()
    begin = min((moment for moment in (since, due) if moment is not None), default=None)
    if begin is None:
        return Calculated(0, 0, 0, None, None)
    series = _resume(begin)
    rows = priced.filter(bucket__gte=begin).order_by("bucket")
    if until is not None:
        rows = rows.filter(bucket__lt=until)
    computed, last_id, last_bucket = 0, None, None
    with connection.cursor() as cursor:
        cursor.execute(STAGE)
        stage = f"COPY indicator_stage (analytics_id, {COLUMNS}) FROM STDIN"
        # The reading cursor and COPY would meet on the one connection: rows come in slices.
        for rows_slice in _slices(rows.values_list("pk", "bucket", "btc_price", "origin")):
            with cursor.cursor.copy(stage) as copy:
                for row_id, bucket, close, origin in rows_slice:
                    values, missing = series.take(bucket, close, made_up=origin == Origin.GENERATED)
                    copy.write_row((row_id, *_columns(values, series, missing)))
                    computed, last_id, last_bucket = computed + 1, row_id, bucket
        cursor.execute(MERGE)
        changed = {row_id for (row_id,) in cursor.fetchall()}
        cursor.execute("DROP TABLE indicator_stage")
    if until is not None and last_id in changed:
        # What follows was computed from other values: it is due again.
        TechnicalIndicator.objects.filter(analytics__bucket__gte=until).delete()
    return Calculated(computed, len(changed), series.runs, begin if computed else None, last_bucket)


def _resume(begin: datetime) -> Series:
    """The run as it stood before `begin`; a fresh one where nothing is before."""
    earlier = MarketSnapshot.objects.priced().filter(bucket__lt=begin).order_by("-bucket")
    last = earlier.select_related("indicators").first()
    if last is None:
        return Series(Run())
    known = last.indicators
    closes: Any = list(earlier.values_list("btc_price", flat=True)[: min(known.run_length, TAIL)])
    state = cast("State", tuple(known.state)) if known.state else None
    run = Run.resume(known.run_length, closes[::-1], state)
    return Series(run, known.run_started_at, last.bucket, made_up=last.origin == Origin.GENERATED)


def _columns(values: Values, series: Series, missing: int | None) -> tuple[object, ...]:
    state = series.run.state
    return (
        *values[:-1],
        values.signal and values.signal.value,
        series.began,
        series.run.length,
        missing,
        # As PostgreSQL writes an array; the shortest digits that give the same float back.
        state and f"{{{','.join(map(repr, state))}}}",
        PARAMETERS,
    )


Slice = list[tuple[int, datetime, Decimal, str]]


def _slices(rows: Any, size: int = 10_000) -> Iterator[Slice]:
    """Rows by bucket, `size` at a time, each slice after the last bucket of the one before."""
    after = None
    while True:
        found: Slice = list((rows.filter(bucket__gt=after) if after else rows)[:size])
        if not found:
            return
        yield found
        after = found[-1][1]
