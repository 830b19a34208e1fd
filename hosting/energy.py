"""Energy from the ledger: the one source of kWh for bills, curtailment and profit. Queries only.

A figure is a sum of ledger rows, each rounded once; so hours add up to days and days to months to the last digit, and a site
is the sum of its machines. Hours, days and months are those of the site's own clock: a day has 23 to 25 hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import User
from hosting.models import ElectricityPrice, EnergySource, Miner, Site

PERIODS = ("hour", "day", "month")


@dataclass(frozen=True)
class Energy:
    """One site's period, or the part of it that was asked for. `kwh` is None, never zero, where nothing is known."""

    site_id: int
    starts_at: datetime
    ends_at: datetime
    kwh: Decimal | None
    source: EnergySource
    machine_hours: Decimal
    hashing_minutes: Decimal
    gap_s: int
    coverage: Decimal  # 0 to 1: share of the machines' time of which the power is known


class UnknownPeriod(ValueError):
    """Neither hour, day nor month."""


# An hour that nobody computed has no rows: the period is listed nevertheless, and the hour counts against its coverage.
# Hours are stepped in absolute time, days and months by the site's calendar, so that neither clock change is lost or doubled.
ENERGY = """
WITH periods AS (
    SELECT s.id AS site_id, s.time_zone,
        GREATEST(starts_at, %(start)s) AS starts_at, LEAST(ends_at, %(end)s) AS ends_at
    FROM hosting_sites s
    CROSS JOIN LATERAL ({periods}) AS period (starts_at, ends_at)
    WHERE s.id = ANY(%(sites)s) AND starts_at < %(end)s AND ends_at > %(start)s
), sums AS (
    SELECT h.site_id, date_trunc(%(per)s, h.{hour}, s.time_zone) AS trunc_at,
        sum(h.kwh) AS kwh, bool_or({estimated}) AS estimated, count(DISTINCT h.{hour}) AS hours,
        sum({machine_s}) AS machine_s, sum(h.hashing_s) AS hashing_s, sum(h.gap_s) AS gap_s
    FROM {table} h JOIN hosting_sites s ON s.id = h.site_id
    WHERE {owner} AND h.{hour} >= %(start)s AND h.{hour} < %(end)s AND h.site_id = ANY(%(sites)s)
    GROUP BY 1, 2
)
SELECT p.site_id, p.starts_at, p.ends_at, s.kwh, COALESCE(s.estimated, false),
    COALESCE(s.machine_s, 0), COALESCE(s.hashing_s, 0), COALESCE(s.gap_s, 0)::bigint,
    COALESCE(round((1 - s.gap_s::numeric / NULLIF(s.machine_s, 0))
        * LEAST(1, s.hours * 3600 / extract(epoch FROM p.ends_at - p.starts_at)), 6), 0)
FROM periods p LEFT JOIN sums s
    ON s.site_id = p.site_id AND s.trunc_at = date_trunc(%(per)s, p.starts_at, p.time_zone)
ORDER BY p.starts_at, p.site_id
"""
SITES = "SELECT DISTINCT h.site_id FROM {table} h WHERE {owner} AND h.{hour} >= %(start)s AND h.{hour} < %(end)s"
BY_THE_HOUR = """
SELECT starts_at, starts_at + interval '1 hour'
FROM generate_series(date_trunc('hour', %(start)s::timestamptz, s.time_zone), %(end)s::timestamptz, interval '1 hour') starts_at
"""
BY_THE_CALENDAR = """
SELECT local AT TIME ZONE s.time_zone, (local + ('1 ' || %(per)s)::interval) AT TIME ZONE s.time_zone
FROM generate_series(date_trunc(%(per)s, %(start)s::timestamptz AT TIME ZONE s.time_zone),
    %(end)s::timestamptz AT TIME ZONE s.time_zone, ('1 ' || %(per)s)::interval) local
"""
MACHINE = {
    "hour": "starts_at",
    "estimated": "h.source = 'estimate'",
    "machine_s": "h.period_s",
}
GROUP = {"hour": "bucket", "estimated": "h.estimated_miners > 0", "machine_s": "h.period_s::bigint * h.miners"}
SECONDS_PER_HOUR = 3600


def energy(
    of: Site | Miner | User, start: datetime, end: datetime, *, per: str = "day", owned_by: User | None = None
) -> list[Energy]:
    """Energy of a site, a machine or a customer in the hours that begin in [start, end), oldest first.

    A customer's and a moved machine's periods come per site, each by that site's clock. With `owned_by`, of a machine only
    the hours in which it was that customer's. Raises UnknownPeriod.
    """
    if per not in PERIODS:
        raise UnknownPeriod(f"{per} is no period: ask per hour, day or month.")
    parts = {"periods": BY_THE_HOUR if per == "hour" else BY_THE_CALENDAR, **_parts(of)}
    values: dict[str, Any] = {"owner": of.pk, "start": start, "end": end, "per": per}
    if isinstance(of, Miner) and owned_by is not None:
        parts["owner"] += " AND h.client_id = %(client)s"
        values["client"] = owned_by.pk
    with connection.cursor() as cursor:
        if isinstance(of, Site):
            sites = [of.pk]
        else:
            cursor.execute(SITES.format(**parts), values)
            sites = [site_id for (site_id,) in cursor.fetchall()]
        if isinstance(of, Miner) and not sites and of.site_id:
            sites = [of.site_id]
        cursor.execute(ENERGY.format(**parts), values | {"sites": sites})
        return [_energy(row) for row in cursor.fetchall()]


def _parts(of: Site | Miner | User) -> dict[str, str]:
    if isinstance(of, Site):
        return GROUP | {"table": "site_telemetry_hour", "owner": "h.site_id = %(owner)s"}
    if isinstance(of, Miner):
        return MACHINE | {"table": "miner_telemetry_hour", "owner": "h.miner_id = %(owner)s"}
    return GROUP | {"table": "client_telemetry_hour", "owner": "h.client_id = %(owner)s"}


def _energy(row: tuple[Any, ...]) -> Energy:
    site_id, starts_at, ends_at, kwh, estimated, machine_s, hashing_s, gap_s, coverage = row
    source = EnergySource.GAP if kwh is None else EnergySource.ESTIMATE if estimated else EnergySource.MINER
    return Energy(
        site_id=site_id,
        starts_at=starts_at,
        ends_at=ends_at,
        kwh=kwh,
        source=source,
        machine_hours=Decimal(machine_s) / SECONDS_PER_HOUR,
        hashing_minutes=Decimal(hashing_s) / 60,
        gap_s=gap_s,
        coverage=coverage,
    )


def total_kwh(rows: Iterable[Energy]) -> Decimal | None:
    """What the rows come to; None when none of them knows anything."""
    known = [row.kwh for row in rows if row.kwh is not None]
    return sum(known, Decimal()) if known else None


def price_at(site: Site, moment: datetime) -> ElectricityPrice | None:
    """The price that holds at the site at that moment."""
    found = ElectricityPrice.objects.filter(site=site, valid_from__lte=moment).order_by("-valid_from").first()
    return found if found and (found.valid_until is None or moment < found.valid_until) else None
