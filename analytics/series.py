"""The market over time: a chart of at most 500 points, and rows for the API. What stands for an interval is its last row."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from analytics.models import BUCKET
from hosting.telemetry.tiers import POINTS, Grid

BUCKET_S = int(BUCKET.total_seconds())

MARKET = (
    *("btc_price", "network_difficulty", "network_hashrate", "block_reward", "fees_btc", "volume_24h"),
    *("hashprice_usd_per_ph_day", "hashprice_sat_per_th_day"),
)
FACTS = ("block_height", "next_retarget_at", "retarget_percent", "origin")
INDICATORS = ("rsi", "macd", "macd_signal", "macd_histogram", "bb_upper", "bb_middle", "bb_lower", "ema_12", "ema_26")
CHARTED = ("btc_price", "network_difficulty", "hashprice_usd_per_ph_day", "hashprice_sat_per_th_day", *INDICATORS)

CHART = f"""
SELECT DISTINCT ON (t) extract(epoch FROM date_bin(%(step)s, bucket, 'epoch'::timestamptz))::bigint AS t,
    origin = 'generated', signal, {", ".join(f"{name}::float8" for name in CHARTED)}
FROM market_analytics LEFT JOIN technical_indicators ON analytics_id = market_analytics.id
WHERE bucket >= %(start)s AND bucket < %(end)s
ORDER BY t, bucket DESC
"""


@dataclass(frozen=True)
class MarketChart:
    """A regular grid, oldest first; None is a gap: nobody knew a price, or the window was not full."""

    t: list[int]
    step_s: int
    generated: bool
    signal: list[str | None]
    lines: dict[str, list[float | None]]

    def as_json(self) -> dict[str, Any]:
        """`t` in seconds since 1970 UTC, the start of each interval."""
        return {"t": self.t, "step_s": self.step_s, "generated": self.generated, "signal": self.signal, **self.lines}


def grid_of(*, until: datetime, hours: int) -> Grid:
    """At most 500 intervals of a quarter of an hour or more, that end with the one of `until`."""
    grid = Grid.covering(until=until, hours=hours)
    if grid.step_s >= BUCKET_S:
        return grid
    end_s = (int(until.timestamp()) // BUCKET_S + 1) * BUCKET_S
    points = min(POINTS, max(1, -(-hours * 3600 // BUCKET_S)))
    return Grid(end_s - points * BUCKET_S, end_s, BUCKET_S)


def market_chart(grid: Grid) -> MarketChart:
    with connection.cursor() as cursor:
        bounds: dict[str, Any] = {"step": timedelta(seconds=grid.step_s), "start": grid.start, "end": grid.end}
        cursor.execute(CHART, bounds)
        points = {row[0]: row[1:] for row in cursor.fetchall()}
    times, nothing = grid.times, (False, None, *[None] * len(CHARTED))
    rows = [points.get(t, nothing) for t in times]
    return MarketChart(
        t=times,
        step_s=grid.step_s,
        generated=any(row[0] for row in rows),
        signal=[row[1] for row in rows],
        lines={name: [row[place] for row in rows] for place, name in enumerate(CHARTED, start=2)},
    )


# --- rows -------------------------------------------------------------------------------------------------------------

ROWS = """
SELECT DISTINCT ON (recorded_at) date_bin(%(step)s, bucket, 'epoch'::timestamptz) AS recorded_at, {columns}
FROM {tables}
WHERE bucket >= %(start)s AND bucket < %(end)s AND bucket < %(before)s
ORDER BY recorded_at DESC, bucket DESC
LIMIT %(limit)s
"""
MARKET_ROWS = ROWS.format(
    columns=", ".join([*(f"{name}::float8" for name in MARKET), *FACTS, "created_at", "sources"]),
    tables="market_analytics",
)
INDICATOR_ROWS = ROWS.format(
    columns=", ".join(
        [
            "btc_price::float8",
            *(f"{name}::float8" for name in INDICATORS),
            *("signal", "run_started_at", "run_length", "missing_before", "parameters"),
        ]
    ),
    tables="technical_indicators JOIN market_analytics ON analytics_id = market_analytics.id",
)


def market_rows(
    start: datetime, end: datetime, step: timedelta, *, before: datetime, limit: int
) -> list[dict[str, Any]]:
    """The last snapshot of each interval, newest first; `before` is the interval that the page before ended with."""
    return _dicts(MARKET_ROWS, {"start": start, "end": end, "step": step, "before": before, "limit": limit})


def indicator_rows(
    start: datetime, end: datetime, step: timedelta, *, before: datetime, limit: int
) -> list[dict[str, Any]]:
    """The indicators after the last close of each interval, newest first."""
    return _dicts(INDICATOR_ROWS, {"start": start, "end": end, "step": step, "before": before, "limit": limit})


def _dicts(sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
