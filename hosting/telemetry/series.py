"""Readings over time: charts for pages, and rows for the API. Queries only: the caller has checked who may see.

Every query compares `recorded_at` with plain bounds, so that PostgreSQL opens only the days that the range needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import FloatField, QuerySet
from django.db.models.functions import Cast

from hosting.models import Telemetry

CHART_POINTS = 500
CHART_STEPS_S = (300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)

# --- charts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """A regular grid of at most 500 points, oldest first; None is a gap. The last interval may still be running."""

    t: list[int]
    hashrate_ths: list[float | None]
    power_kw: list[float | None]
    temperature_c: list[float | None]
    step_s: int
    power_estimated: bool

    def as_json(self) -> dict[str, Any]:
        """`t` in seconds since 1970 UTC, the start of each interval."""
        return {
            "t": self.t,
            "hashrate_ths": self.hashrate_ths,
            "power_kw": self.power_kw,
            "temperature_c": self.temperature_c,
            "step_s": self.step_s,
            "power_estimated": self.power_estimated,
        }


@dataclass(frozen=True)
class Grid:
    """Intervals of `step_s`, aligned to 1970 UTC."""

    start_s: int
    end_s: int
    step_s: int

    @classmethod
    def covering(cls, *, until: datetime, hours: int) -> "Grid":
        """The `hours` that end with the interval which holds `until`."""
        span_s = hours * 3600
        step_s = next((step for step in CHART_STEPS_S if span_s <= CHART_POINTS * step), CHART_STEPS_S[-1])
        end_s = (int(until.timestamp()) // step_s + 1) * step_s
        points = min(CHART_POINTS, max(1, span_s // step_s))
        return cls(end_s - points * step_s, end_s, step_s)

    def parameters(self) -> dict[str, Any]:
        return {
            "start": datetime.fromtimestamp(self.start_s, UTC),
            "end": datetime.fromtimestamp(self.end_s, UTC),
            "step": timedelta(seconds=self.step_s),
        }


# Epochs, not datetimes: decoding a datetime costs more than the rest of the row.
MINER_CHART = """
SELECT extract(epoch FROM date_bin(%(step)s, recorded_at, 'epoch'::timestamptz))::bigint,
    round(avg(hashrate), 2)::float8, round(avg(power_consumption) / 1000, 3)::float8, max(temperature)::float8,
    COALESCE(bool_or(power_estimated) FILTER (WHERE power_consumption IS NOT NULL), false), 1
FROM miner_telemetry
WHERE recorded_at >= %(start)s AND recorded_at < %(end)s AND miner_id = %(owner)s
GROUP BY 1
"""
# A site's mean is over the minutes in which something was read; the sites of a client are then added up.
GROUP_CHART = """
SELECT t, round(sum(hashrate_ths), 2)::float8, round(sum(power_kw), 3)::float8, max(temperature_c)::float8,
    bool_or(estimated), count(*)
FROM (
    SELECT extract(epoch FROM date_bin(%(step)s, bucket, 'epoch'::timestamptz))::bigint AS t,
        sum(hashrate_ths_sum) / NULLIF(sum(minutes) FILTER (WHERE hashrate_ths_sum IS NOT NULL), 0) AS hashrate_ths,
        sum(power_w_sum) / NULLIF(sum(minutes) FILTER (WHERE power_w_sum IS NOT NULL), 0) / 1000 AS power_kw,
        max(temperature_max_c) AS temperature_c, sum(estimated_samples) > 0 AS estimated
    FROM {table}
    WHERE {owner} = %(owner)s AND bucket >= %(start)s AND bucket < %(end)s
    GROUP BY 1, site_id
) AS per_site
GROUP BY t
"""
SITE_CHART = GROUP_CHART.format(table="site_telemetry_5min", owner="site_id")
CLIENT_CHART = GROUP_CHART.format(table="client_telemetry_5min", owner="client_id")


def chart_for_miner(miner_id: int, *, until: datetime, hours: int = 24) -> Chart:
    """One machine: mean hashrate and power, highest temperature of each interval."""
    return _chart(MINER_CHART, miner_id, Grid.covering(until=until, hours=hours))


def chart_for_site(site_id: int, *, until: datetime, hours: int = 24) -> Chart:
    """All machines of a site added up, from its five-minute sums."""
    return _chart(SITE_CHART, site_id, Grid.covering(until=until, hours=hours))


def chart_for_client(user_id: UUID, *, until: datetime, hours: int = 24) -> Chart:
    """All machines of a client added up over sites, from the client's five-minute sums."""
    return _chart(CLIENT_CHART, user_id, Grid.covering(until=until, hours=hours))


GAP = (None, None, None)


def _chart(sql: str, owner: int | UUID, grid: Grid) -> Chart:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"owner": owner, **grid.parameters()})
        points = {row[0]: row[1:] for row in cursor.fetchall()}
    _hold_back_newest(points, grid)
    times = list(range(grid.start_s, grid.end_s, grid.step_s))
    hashrate_ths, power_kw, temperature_c = ([points.get(t, GAP)[column] for t in times] for column in range(3))
    estimated = any(point[3] for point in points.values())
    return Chart(times, hashrate_ths, power_kw, temperature_c, grid.step_s, power_estimated=estimated)


def _hold_back_newest(points: dict[int, tuple[Any, ...]], grid: Grid) -> None:
    # The sites of a client are swept one after the other: until the last is in, the newest sum would look like a loss.
    newest = grid.end_s - grid.step_s
    before = points.get(newest - grid.step_s)
    if newest in points and before and points[newest][4] < before[4]:
        del points[newest]


# --- rows -------------------------------------------------------------------------------------------------------------

Key = tuple[datetime, int]  # (recorded_at, miner_id): unique, and the order of every page, newest first


@dataclass(frozen=True)
class Span:
    """Half-open range of time in UTC, in intervals of `step_s`."""

    start: datetime
    end: datetime
    step_s: int

    @classmethod
    def whole(cls, start: datetime, end: datetime, step_s: int) -> "Span":
        """The range widened to whole intervals, so that no row is an average of a part."""
        first_s = int(start.timestamp()) // step_s * step_s
        last_s = -(-int(end.timestamp()) // step_s) * step_s
        return cls(datetime.fromtimestamp(first_s, UTC), datetime.fromtimestamp(last_s, UTC), step_s)

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=self.step_s)


def _number(column: str) -> Cast:
    return Cast(column, FloatField())


def minute_rows(readings: QuerySet[Telemetry], span: Span, *, before: Key | None, limit: int) -> list[dict[str, Any]]:
    """Readings as they were taken, newest first, at most `limit`; `before` is the key of the last row already had."""
    readings = readings.filter(recorded_at__gte=span.start, recorded_at__lt=span.end)
    if before is not None:
        # The plain bound beside the tuple: PostgreSQL skips no partition by a row comparison.
        readings = readings.filter(pk__lt=before, recorded_at__lte=before[0])
    rows = readings.order_by("-recorded_at", "-miner_id").values(
        "recorded_at",
        "miner_id",
        "power_estimated",
        hashrate_ths=_number("hashrate"),
        temperature_c=_number("temperature"),
        power_w=_number("power_consumption"),
        fan_rpm=_number("fan_speed"),
    )
    return [dict(row) for row in rows[:limit]]


AVERAGES = """
SELECT date_bin(%(step)s, recorded_at, 'epoch'::timestamptz) AS recorded_at, miner_id,
    round(avg(hashrate), 2)::float8 AS hashrate_ths, max(temperature)::float8 AS temperature_c,
    round(avg(power_consumption), 2)::float8 AS power_w,
    COALESCE(bool_or(power_estimated) FILTER (WHERE power_consumption IS NOT NULL), false) AS power_estimated,
    round(avg(fan_speed), 2)::float8 AS fan_rpm, count(*) AS samples
FROM miner_telemetry
WHERE recorded_at >= %(start)s AND recorded_at < %(end)s AND miner_id = ANY(%(miners)s)
GROUP BY 1, 2
ORDER BY 1 DESC, 2 DESC
LIMIT %(limit)s
"""


def average_rows(miner_ids: Sequence[int], span: Span, *, before: Key | None, limit: int) -> list[dict[str, Any]]:
    """Readings averaged per machine and interval (temperature: the highest), newest first, at most `limit`.

    The span is whole intervals. Only as many machines and intervals are read as the page needs: a page of 100 daily
    averages costs the same on a farm of 200 machines and of 6,000.
    """
    rows: list[dict[str, Any]] = []
    span = _up_to_newest(span)
    for start, end, batch in _windows(sorted(miner_ids, reverse=True), span, before=before, cells=limit):
        parameters = {"step": span.step, "start": start, "end": end, "miners": batch, "limit": limit - len(rows)}
        rows += _dicts(AVERAGES, parameters)
        if len(rows) >= limit:
            break
    return rows


def _up_to_newest(span: Span) -> Span:
    """The span without the empty intervals at its end, found by one look at the end of the index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(recorded_at) FROM miner_telemetry WHERE recorded_at >= %s AND recorded_at < %s",
            [span.start, span.end],
        )
        (newest,) = cursor.fetchone()
    end = span.start if newest is None else Span.whole(newest, newest, span.step_s).start + span.step
    return replace(span, end=end)


def _windows(
    miners: list[int], span: Span, *, before: Key | None, cells: int
) -> Iterator[tuple[datetime, datetime, list[int]]]:
    """Cut the span into (start, end, machines) of about `cells` rows, newest first, twice as large each time."""
    end, rest = span.end, miners
    if before is not None:
        end = min(span.end, Span.whole(before[0], before[0], span.step_s).start + span.step)
        rest = [miner_id for miner_id in miners if miner_id < before[1]]
    while miners and end > span.start:
        if len(rest) == len(miners) <= cells:
            start = max(span.start, end - span.step * (cells // len(miners)))
            yield start, end, miners
            end = start
        else:  # a part of the machines of one interval
            if rest:
                yield end - span.step, end, rest[:cells]
            rest = rest[cells:]
            if not rest:
                end, rest = end - span.step, miners
        cells *= 2


SITE_ROWS = """
SELECT date_bin(%(step)s, bucket, 'epoch'::timestamptz) AS recorded_at,
    round(sum(hashrate_ths_sum) / NULLIF(sum(minutes) FILTER (WHERE hashrate_ths_sum IS NOT NULL), 0), 2)::float8
        AS hashrate_ths,
    round(sum(power_w_sum) / NULLIF(sum(minutes) FILTER (WHERE power_w_sum IS NOT NULL), 0) / 1000, 3)::float8
        AS power_kw,
    sum(estimated_samples) > 0 AS power_estimated, max(temperature_max_c)::float8 AS temperature_c,
    sum(minutes)::int AS minutes, sum(samples)::int AS samples
FROM site_telemetry_5min
WHERE site_id = %(site)s AND bucket >= %(start)s AND bucket < %(end)s
GROUP BY 1
ORDER BY 1 DESC
LIMIT %(limit)s
"""


def site_rows(site_id: int, span: Span, *, before: Key | None, limit: int) -> list[dict[str, Any]]:
    """A site's machines added up, mean over the minutes read in each interval, newest first, at most `limit`."""
    end = span.end if before is None else min(span.end, before[0])
    return _dicts(SITE_ROWS, {"site": site_id, "step": span.step, "start": span.start, "end": end, "limit": limit})


def _dicts(sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
