"""Readings over time: charts for pages, and rows for the API. Queries only: the caller has checked who may see.

Every query compares `recorded_at` with plain bounds, so that PostgreSQL opens only the days that the range needs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import FloatField, QuerySet
from django.db.models.functions import Cast

from hosting.models import ClientHour, Miner, Telemetry
from hosting.telemetry.rollups import rolled_up
from hosting.telemetry.tiers import OF_A_GROUP, OF_A_MINER, Grid, Plan, RolledUp, Tier, pick

HOUR_S = 3600

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


# Epochs, not datetimes: decoding a datetime costs more than the rest of the row.
# Sums of the coarse tier up to the moment until which it is computed, and of what was stored from there on.
MINER_CHART = """
SELECT t, round(sum(hashrate_ths_sum) / NULLIF(sum(hashrate_samples), 0), 2)::float8,
    round(sum(power_w_sum) / NULLIF(sum(power_samples), 0) / 1000, 3)::float8, max(temperature_max_c)::float8,
    bool_or(estimated), 1
FROM (
    {coarse}
    SELECT extract(epoch FROM date_bin(%(step)s, recorded_at, 'epoch'::timestamptz))::bigint AS t,
        sum(hashrate) AS hashrate_ths_sum, count(hashrate) AS hashrate_samples,
        sum(power_consumption) AS power_w_sum, count(power_consumption) AS power_samples,
        max(temperature) AS temperature_max_c,
        COALESCE(bool_or(power_estimated) FILTER (WHERE power_consumption IS NOT NULL), false) AS estimated
    FROM miner_telemetry
    WHERE recorded_at >= %(switch)s AND recorded_at < %(end)s AND miner_id = %(owner)s
    GROUP BY 1
) AS parts
GROUP BY t
"""
MINER_COARSE = """
    SELECT extract(epoch FROM date_bin(%(step)s, starts_at + %(half)s, 'epoch'::timestamptz))::bigint AS t,
        hashrate_ths_sum, hashrate_samples, power_w_sum, power_samples, temperature_max_c, estimated_samples > 0 AS estimated
    FROM {table}
    WHERE starts_at >= %(coarse_from)s AND starts_at < %(switch)s AND miner_id = %(owner)s
    UNION ALL
"""
# A site's mean is over the minutes in which something was read; the sites of a client are then added up.
GROUP_CHART = """
SELECT t, round(sum(hashrate_ths), 2)::float8, round(sum(power_kw), 3)::float8, max(temperature_c)::float8,
    bool_or(estimated), count(*)
FROM (
    SELECT t, sum(hashrate_ths_sum) / NULLIF(sum(minutes) FILTER (WHERE hashrate_ths_sum IS NOT NULL), 0) AS hashrate_ths,
        sum(power_w_sum) / NULLIF(sum(minutes) FILTER (WHERE power_w_sum IS NOT NULL), 0) / 1000 AS power_kw,
        max(temperature_max_c) AS temperature_c, sum(estimated_samples) > 0 AS estimated
    FROM (
        {coarse}
        SELECT extract(epoch FROM date_bin(%(step)s, bucket, 'epoch'::timestamptz))::bigint AS t, site_id, minutes,
            hashrate_ths_sum, power_w_sum, temperature_max_c, estimated_samples
        FROM {group}_telemetry_5min
        WHERE {group}_id = %(owner)s AND bucket >= %(switch)s AND bucket < %(end)s
    ) AS parts
    GROUP BY t, site_id
) AS per_site
GROUP BY t
"""
GROUP_COARSE = """
        SELECT extract(epoch FROM date_bin(%(step)s, bucket + %(half)s, 'epoch'::timestamptz))::bigint AS t, site_id,
            minutes, hashrate_ths_sum, power_w_sum, temperature_max_c, estimated_samples
        FROM {group}_telemetry_hour
        WHERE {group}_id = %(owner)s AND bucket >= %(coarse_from)s AND bucket < %(switch)s
        UNION ALL
"""
MINER_TABLES = {Tier.HOURS: "miner_telemetry_hour", Tier.DAYS: "miner_telemetry_day"}


def chart_for_miner(miner_id: int, *, until: datetime, hours: int = 24) -> Chart:
    """One machine: mean hashrate and power, highest temperature of each interval."""
    return miner_chart(miner_id, Grid.covering(until=until, hours=hours))


def chart_for_site(site_id: int, *, until: datetime, hours: int = 24) -> Chart:
    """All machines of a site added up, from its five-minute sums or its hours."""
    return site_chart(site_id, Grid.covering(until=until, hours=hours))


def chart_for_client(user_id: UUID, *, until: datetime, hours: int = 24) -> Chart:
    """All machines of a client added up over sites, from the client's five-minute sums or hours."""
    return client_chart(user_id, Grid.covering(until=until, hours=hours))


def miner_chart(miner_id: int, grid: Grid) -> Chart:
    sites = Miner.objects.filter(pk=miner_id).values_list("site_id", flat=True)
    plan = pick(grid, OF_A_MINER, rolled_up(sites, days=True) if grid.step_s >= HOUR_S else RolledUp())
    coarse = "" if plan.tier is plan.finest else MINER_COARSE.format(table=MINER_TABLES[plan.tier])
    return _chart(MINER_CHART.format(coarse=coarse), miner_id, plan)


def site_chart(site_id: int, grid: Grid) -> Chart:
    return _group_chart("site", site_id, grid, [site_id])


def client_chart(user_id: UUID, grid: Grid) -> Chart:
    """The client's machines in each hour, whoever owns them now."""
    sites = set(Miner.objects.filter(client=user_id).values_list("site_id", flat=True))
    sites |= set(ClientHour.objects.filter(client=user_id, bucket__gte=grid.start).values_list("site_id", flat=True))
    return _group_chart("client", user_id, grid, sites)


def _group_chart(group: str, owner: int | UUID, grid: Grid, sites: Iterable[int | None]) -> Chart:
    plan = pick(grid, OF_A_GROUP, rolled_up(sites) if grid.step_s >= HOUR_S else RolledUp())
    coarse = "" if plan.tier is plan.finest else GROUP_COARSE.format(group=group)
    return _chart(GROUP_CHART.format(coarse=coarse, group=group), owner, plan)


GAP = (None, None, None)


def _chart(sql: str, owner: int | UUID, plan: Plan) -> Chart:
    grid = plan.grid
    with connection.cursor() as cursor:
        cursor.execute(sql, {"owner": owner, **plan.parameters()})
        points = {row[0]: row[1:] for row in cursor.fetchall()}
    _hold_back_newest(points, grid)
    times = grid.times
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
