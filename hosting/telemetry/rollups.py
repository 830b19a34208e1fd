"""Readings to hours, hours to days: the energy ledger and the coarse tiers of charts.

Every statement replaces what it computes, so that running twice changes nothing and a late reading is simply computed again.
An hour is due when it has ended and the sweeps of it hold other readings than it was computed from. Once a day of readings is
retired, its hours are final.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from hosting.models import RetiredDay, SiteHour
from hosting.telemetry.tiers import RolledUp
from minefarm.lib.clock import database_now

HELD_S = 180  # a reading stands for the time until the next one, but no longer than this
SETTLED_AFTER = timedelta(minutes=5)  # sweeps of an hour are in by then; what comes later makes it due again
LOOK_BACK = timedelta(days=8)  # how old a late reading may be and still be noticed by itself
ADVISORY_LOCK = 0x4D46_0002  # "MF", rollups: one at a time


@dataclass
class RollupReport:
    """What one run computed: hours of sites, ledger rows written because they are new or differ, days of sites."""

    site_hours: int = 0
    rows_changed: int = 0
    site_days: int = 0
    final_hours: int = field(default=0)  # asked for, but their readings are retired


# The hours of a site's own clock that lie in the range.
HOURS = """
SELECT s.id, hour.starts_at
FROM hosting_sites s
CROSS JOIN LATERAL generate_series(
    date_trunc('hour', %(since)s::timestamptz, s.time_zone), %(until)s::timestamptz - interval '1 hour', interval '1 hour'
) AS hour (starts_at)
WHERE hour.starts_at >= %(since)s AND (%(sites)s::int[] IS NULL OR s.id = ANY(%(sites)s))
"""
# The hour after a late one is due with it: the last reading of an hour may reach into the next.
DUE = """
WITH due AS (
SELECT s.id, due.starts_at
FROM hosting_sites s
CROSS JOIN LATERAL (
    SELECT date_trunc('hour', w.minute, s.time_zone) AS starts_at, count(*) AS sweeps, sum(w.stored) AS swept
    FROM telemetry_sweeps w
    WHERE w.site_id = s.id AND w.minute >= date_trunc('hour', %(since)s::timestamptz, s.time_zone)
      AND w.minute < %(until)s
    GROUP BY 1
) AS due
LEFT JOIN site_telemetry_hour h ON h.site_id = s.id AND h.bucket = due.starts_at
WHERE due.starts_at + interval '1 hour' <= %(until)s AND (h.sweeps, h.swept) IS DISTINCT FROM (due.sweeps, due.swept)
)
SELECT id, starts_at FROM due
UNION
SELECT h.site_id, h.bucket FROM due JOIN site_telemetry_hour h
    ON h.site_id = due.id AND h.bucket = due.starts_at + interval '1 hour'
"""
# Seconds that each reading stands for, cut at both ends of the hour: the last reading before it may reach into it.
# A machine keeps the site and customer under which its hour was first computed.
MINER_HOURS = f"""
WITH members AS (
    SELECT COALESCE(h.miner_id, m.id) AS miner_id, COALESCE(h.site_id, m.site_id) AS site_id,
        CASE WHEN h.miner_id IS NULL THEN m.client_id ELSE h.client_id END AS client_id,
        h.miner_id IS NOT NULL OR (m.cgminer_enabled AND m.cgminer_ip IS NOT NULL AND m.created_at < %(end)s) AS expected
    FROM hosting_miners m
    FULL JOIN (SELECT miner_id, site_id, client_id FROM miner_telemetry_hour WHERE starts_at = %(start)s) h
        ON h.miner_id = m.id
    WHERE COALESCE(h.site_id, m.site_id) = ANY(%(sites)s)
), held AS (
    SELECT t.miner_id, t.recorded_at >= %(start)s AS inside, t.hashrate, t.temperature, t.power_consumption AS power,
        t.power_estimated AND t.power_consumption IS NOT NULL AS estimated,
        GREATEST(0, extract(epoch FROM
            LEAST(lead(t.recorded_at) OVER (PARTITION BY t.miner_id ORDER BY t.recorded_at),
                t.recorded_at + interval '{HELD_S} seconds', %(end)s) - GREATEST(t.recorded_at, %(start)s))) AS held_s
    FROM miner_telemetry t
    WHERE t.recorded_at >= %(start)s::timestamptz - interval '{HELD_S} seconds' AND t.recorded_at < %(end)s
), sums AS (
    SELECT miner_id, count(*) FILTER (WHERE inside) AS samples,
        count(hashrate) FILTER (WHERE inside) AS hashrate_samples,
        sum(hashrate) FILTER (WHERE inside) AS hashrate_ths_sum,
        count(power) FILTER (WHERE inside) AS power_samples, sum(power) FILTER (WHERE inside) AS power_w_sum,
        count(*) FILTER (WHERE inside AND estimated) AS estimated_samples,
        max(temperature) FILTER (WHERE inside) AS temperature_max_c,
        round(sum(power * held_s) / 3600000, 6) AS kwh,
        COALESCE(sum(held_s) FILTER (WHERE power IS NOT NULL), 0) AS covered_s,
        COALESCE(bool_or(estimated) FILTER (WHERE held_s > 0), false) AS estimated,
        COALESCE(sum(held_s) FILTER (WHERE hashrate > 0), 0) AS hashing_s
    FROM held GROUP BY miner_id
)
INSERT INTO miner_telemetry_hour AS old (starts_at, period_s, miner_id, site_id, client_id, samples, hashrate_samples,
    hashrate_ths_sum, power_samples, power_w_sum, estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s)
SELECT %(start)s, %(period_s)s, miner_id, site_id, client_id, COALESCE(samples, 0), COALESCE(hashrate_samples, 0),
    hashrate_ths_sum, COALESCE(power_samples, 0), power_w_sum, COALESCE(estimated_samples, 0), temperature_max_c,
    CASE WHEN covered_s > 0 THEN kwh END,
    CASE WHEN COALESCE(covered_s, 0) = 0 THEN 'gap' WHEN estimated THEN 'estimate' ELSE 'miner' END,
    round(COALESCE(hashing_s, 0)), %(period_s)s - round(COALESCE(covered_s, 0))
FROM members LEFT JOIN sums USING (miner_id)
WHERE expected OR covered_s > 0 OR samples > 0
ON CONFLICT (starts_at, miner_id) DO UPDATE SET (samples, hashrate_samples, hashrate_ths_sum, power_samples, power_w_sum,
    estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s) = (EXCLUDED.samples, EXCLUDED.hashrate_samples,
    EXCLUDED.hashrate_ths_sum, EXCLUDED.power_samples, EXCLUDED.power_w_sum, EXCLUDED.estimated_samples,
    EXCLUDED.temperature_max_c, EXCLUDED.kwh, EXCLUDED.source, EXCLUDED.hashing_s, EXCLUDED.gap_s)
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)
"""
GROUP_COLUMNS = (
    "minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples, temperature_max_c,"
    " miners, period_s, kwh, estimated_miners, hashing_s, gap_s"
)
GROUP_UPDATE = ", ".join(f"{name} = EXCLUDED.{name}" for name in GROUP_COLUMNS.split(", "))
# The group's rows are the sums of the very rows above, computed beside them: totals equal the sum of machines exactly.
GROUP_HOURS = f"""
WITH swept AS (
    SELECT site_id, count(*) AS sweeps, count(*) FILTER (WHERE stored > 0) AS minutes, sum(stored) AS swept
    FROM telemetry_sweeps
    WHERE site_id = ANY(%(sites)s) AND minute >= %(start)s AND minute < %(end)s GROUP BY site_id
), sums (site_id, client_id, whole_site, {GROUP_COLUMNS}) AS MATERIALIZED (
    SELECT h.site_id, h.client_id, grouping(h.client_id) = 1,
        GREATEST(max(h.samples), max(COALESCE(w.minutes, 0))), sum(h.samples), sum(h.hashrate_ths_sum), sum(h.power_w_sum),
        sum(h.estimated_samples), max(h.temperature_max_c),
        count(*), max(h.period_s), sum(h.kwh), count(*) FILTER (WHERE h.source = 'estimate'), sum(h.hashing_s), sum(h.gap_s)
    FROM miner_telemetry_hour h LEFT JOIN swept w USING (site_id)
    WHERE h.starts_at = %(start)s AND h.site_id = ANY(%(sites)s)
    GROUP BY GROUPING SETS ((h.site_id), (h.site_id, h.client_id))
), of_clients AS (
    INSERT INTO client_telemetry_hour (client_id, site_id, bucket, {GROUP_COLUMNS})
    SELECT client_id, site_id, %(start)s, {GROUP_COLUMNS} FROM sums WHERE client_id IS NOT NULL AND NOT whole_site
    ON CONFLICT (client_id, site_id, bucket) DO UPDATE SET {GROUP_UPDATE}
)
INSERT INTO site_telemetry_hour (site_id, bucket, sweeps, swept, {GROUP_COLUMNS})
SELECT site.id, %(start)s, COALESCE(w.sweeps, 0), COALESCE(w.swept, 0), COALESCE(sums.minutes, 0), COALESCE(samples, 0),
    hashrate_ths_sum, power_w_sum, COALESCE(estimated_samples, 0), temperature_max_c, COALESCE(miners, 0),
    COALESCE(period_s, %(period_s)s), kwh, COALESCE(estimated_miners, 0), COALESCE(hashing_s, 0), COALESCE(gap_s, 0)
FROM unnest(%(sites)s::int[]) AS site (id)
LEFT JOIN sums ON sums.site_id = site.id AND sums.whole_site
LEFT JOIN swept w ON w.site_id = site.id
ON CONFLICT (site_id, bucket) DO UPDATE
    SET sweeps = EXCLUDED.sweeps, swept = EXCLUDED.swept, computed_at = now(), {GROUP_UPDATE}
"""
FORGET_DAYS = (
    "DELETE FROM miner_telemetry_day WHERE site_id = %(site)s AND starts_at >= %(start)s AND starts_at < %(end)s"
)
MINER_DAYS = """
INSERT INTO miner_telemetry_day (starts_at, period_s, miner_id, site_id, samples, hashrate_samples, hashrate_ths_sum,
    power_samples, power_w_sum, estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s)
SELECT %(start)s, sum(period_s), miner_id, site_id, sum(samples), sum(hashrate_samples), sum(hashrate_ths_sum),
    sum(power_samples), sum(power_w_sum), sum(estimated_samples), max(temperature_max_c), sum(kwh),
    CASE WHEN sum(kwh) IS NULL THEN 'gap' WHEN bool_or(source = 'estimate') THEN 'estimate' ELSE 'miner' END,
    sum(hashing_s), sum(gap_s)
FROM miner_telemetry_hour
WHERE starts_at >= %(start)s AND starts_at < %(end)s AND site_id = %(site)s
GROUP BY miner_id, site_id
"""
LOCAL_DAYS = """
SELECT s.id, day AT TIME ZONE s.time_zone, (day + interval '1 day') AT TIME ZONE s.time_zone
FROM unnest(%(sites)s::int[], %(hours)s::timestamptz[]) AS touched (site_id, starts_at)
JOIN hosting_sites s ON s.id = touched.site_id
CROSS JOIN LATERAL date_trunc('day', touched.starts_at AT TIME ZONE s.time_zone) AS day
GROUP BY 1, 2, 3 ORDER BY 2, 1
"""

SiteHourKey = tuple[int, datetime]


def roll_up_due(*, now: datetime | None = None) -> RollupReport:
    """Compute what sweeps have added since the last run, up to eight days back."""
    now = now or database_now()
    return _compute(_fetch(DUE, since=now - LOOK_BACK, until=now - SETTLED_AFTER))


def roll_up(since: datetime, until: datetime, *, sites: Iterable[int] | None = None) -> RollupReport:
    """Compute every hour that lies in the range, whether due or not; hours whose readings are retired stay as they are."""
    chosen = None if sites is None else list(sites)
    return _compute(_fetch(HOURS, since=since, until=min(until, database_now()), sites=chosen))


def _fetch(sql: str, **values: Any) -> list[SiteHourKey]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def _compute(wanted: list[SiteHourKey]) -> RollupReport:
    report = RollupReport()
    final = final_before()
    sites_of: dict[datetime, list[int]] = defaultdict(list)
    for site_id, starts_at in wanted:
        if final and starts_at < final:
            report.final_hours += 1
        else:
            sites_of[starts_at].append(site_id)
    for starts_at in sorted(sites_of):
        report.rows_changed += _compute_hour(starts_at, sites_of[starts_at])
        report.site_hours += len(sites_of[starts_at])
    report.site_days = _compute_days([(site_id, at) for at, sites in sites_of.items() for site_id in sites])
    return report


def final_before() -> datetime | None:
    """Hours that begin earlier are final: a reading that they were computed from is retired."""
    last = RetiredDay.objects.aggregate(last=Max("day"))["last"]
    if last is None:
        return None
    # Three minutes of the retired day reach into the next hour.
    return datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1, seconds=HELD_S)


def _compute_hour(starts_at: datetime, sites: list[int]) -> int:
    values: dict[str, Any] = {
        "start": starts_at,
        "end": starts_at + timedelta(hours=1),
        "period_s": 3600,
        "sites": sites,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        cursor.execute(MINER_HOURS, values)
        changed = cursor.rowcount
        cursor.execute(GROUP_HOURS, values)
    return int(changed)


def _compute_days(touched: list[SiteHourKey]) -> int:
    if not touched:
        return 0
    site_ids, hours = zip(*touched, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(LOCAL_DAYS, {"sites": list(site_ids), "hours": list(hours)})
        days = cursor.fetchall()
    for site_id, start, end in days:
        values: dict[str, Any] = {"site": site_id, "start": start, "end": end}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            cursor.execute(FORGET_DAYS, values)
            cursor.execute(MINER_DAYS, values)
    return len(days)


def rolled_up(sites: Iterable[int | None], *, days: bool = False) -> RolledUp:
    """Until when every one of the sites is computed; with `days` also the start of the first of them's running local day."""
    wanted = {site_id for site_id in sites if site_id is not None}
    last = SiteHour.objects.filter(site__in=wanted).order_by().values("site").annotate(last=Max("bucket"))
    ends = [found["last"] + timedelta(hours=1) for found in last]
    if not wanted or len(ends) < len(wanted):
        return RolledUp()
    until = min(ends)
    if not days:
        return RolledUp(hours=until)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(date_trunc('day', %s::timestamptz, time_zone)) FROM hosting_sites WHERE id = ANY(%s)",
            [until, sorted(wanted)],
        )
        (midnight,) = cursor.fetchone()
    return RolledUp(hours=until, days=midnight)
