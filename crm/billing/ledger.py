"""A month of one site read from the energy ledger, for all contracts at once: the ledger is gone through a single time.

What is read stands in temporary tables of the session while it is worked on, so that days go from there into snapshots without
passing through Python. Needs a connection of its own for that long: no pooler that changes it between statements.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from crm.billing.months import Span, midnight, month_at
from crm.billing.usage import Day, Part, Saving, Terms, Usage
from crm.models import Contract, ContractVersion
from crm.states import Pricing
from hosting.excused import excused_seconds, savings
from hosting.models import Site

HOUR = timedelta(hours=1)
# Hours are stepped in absolute time and named by the site's clock. Of prices that change within the hour the mean by time
# holds, as in the figures of profit (analytics.profit), whose rule for revenue this is as well.
HOURS = """
CREATE TEMPORARY TABLE billing_hours AS
SELECT hour.starts_at, (hour.starts_at AT TIME ZONE %(zone)s)::date AS day, m.earned, m.parts,
    CASE WHEN p.held_s = 3600 AND p.first = p.last THEN p.price_s END AS price_s, p.first AS currency
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS hour (starts_at)
CROSS JOIN LATERAL (
    SELECT sum(hashprice_usd_per_ph_day) * %(kept)s::numeric AS earned, count(*) * 86400000 AS parts
    FROM market_analytics
    WHERE bucket >= hour.starts_at AND bucket < hour.starts_at + interval '1 hour' AND hashprice_usd_per_ph_day IS NOT NULL
) m
CROSS JOIN LATERAL (
    SELECT sum(price_per_kwh * held_s) AS price_s, sum(held_s) AS held_s, min(currency) AS first, max(currency) AS last
    FROM (
        SELECT price_per_kwh, currency, extract(epoch FROM
            LEAST(COALESCE(valid_until, 'infinity'), hour.starts_at + interval '1 hour')
            - GREATEST(valid_from, hour.starts_at))::numeric AS held_s
        FROM site_electricity_prices
        WHERE site_id = %(site)s AND valid_from < hour.starts_at + interval '1 hour'
          AND (valid_until IS NULL OR valid_until > hour.starts_at)
    ) held
) p
"""
# Sums of an hour's product are NULL as soon as one hour in which the machine was read lacks its price: holds() tells people.
DAYS = """
CREATE TEMPORARY TABLE billing_days AS
WITH parts AS MATERIALIZED (
    SELECT * FROM unnest(%(contracts)s::int[], %(clients)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
        %(costs)s::text[], %(earns)s::bool[]) AS p (contract_id, client_id, starts_at, ends_at, costs, earns)
), sums AS (
    SELECT p.contract_id, h.miner_id, x.day, count(*) AS hours, sum(h.period_s)::int AS period_s, sum(h.kwh) AS kwh,
        CASE WHEN sum(h.kwh) IS NULL THEN 'gap' WHEN bool_or(h.source = 'estimate') THEN 'estimate' ELSE 'miner' END AS source,
        sum(h.gap_s)::int AS gap_s, sum(h.hashing_s)::int AS hashing_s, sum(w.ths_s / h.hashrate_samples) / 3600 AS th_hours,
        CASE WHEN bool_and(h.kwh IS NULL OR (x.price_s IS NOT NULL AND x.currency = p.costs))
            THEN sum(CASE WHEN x.currency = p.costs THEN round(h.kwh * x.price_s / 3600, 8) END) END AS energy_cost,
        CASE WHEN bool_and(w.ths_s IS NULL OR x.earned IS NOT NULL)
            THEN sum(CASE WHEN p.earns THEN round(w.ths_s * x.earned / (h.hashrate_samples * x.parts), 8) END) END AS revenue
    FROM miner_telemetry_hour h
    JOIN parts p ON p.client_id = h.client_id AND h.starts_at >= p.starts_at AND h.starts_at < p.ends_at
    JOIN billing_hours x ON x.starts_at = h.starts_at
    CROSS JOIN LATERAL (SELECT CASE WHEN h.kwh IS NOT NULL AND h.hashrate_samples > 0
        THEN h.hashrate_ths_sum * (h.period_s - h.gap_s) END AS ths_s) w
    WHERE h.site_id = %(site)s AND h.starts_at >= %(start)s AND h.starts_at < %(end)s
    GROUP BY 1, 2, 3
)
SELECT s.contract_id, s.miner_id, m.serial_number, s.day, s.hours, s.period_s, s.kwh::numeric(14, 6) AS kwh, s.source, s.gap_s,
    s.hashing_s, 0 AS excused_s, s.th_hours::numeric(16, 4) AS th_hours, k.power_consumption::numeric(10, 2) AS nameplate_w,
    s.energy_cost::numeric(16, 8) AS energy_cost, s.revenue::numeric(16, 8) AS revenue
FROM sums s JOIN hosting_miners m ON m.id = s.miner_id LEFT JOIN miner_models k ON k.id = m.miner_model_id
"""
INDEX = "CREATE INDEX ON billing_days (contract_id); ANALYZE billing_days"
# Never more than the time in which it did not hash: what was excused and hashed all the same is owed and kept.
EXCUSE = """
UPDATE billing_days d SET excused_s = LEAST(x.seconds, d.period_s - d.hashing_s)
FROM unnest(%(miners)s::int[], %(seconds)s::int[]) AS x (miner_id, seconds)
WHERE d.miner_id = x.miner_id AND d.day = %(day)s AND d.contract_id = ANY(%(contracts)s::int[])
"""
COLUMNS = ", ".join(Day.__slots__)
READ = f"SELECT {COLUMNS} FROM billing_days WHERE contract_id = %s"  # noqa: S608  our own columns
STORE = f"""
INSERT INTO crm_usage_days (snapshot_id, {COLUMNS}) SELECT %s, {COLUMNS} FROM billing_days WHERE contract_id = %s
"""  # noqa: S608  our own columns
SITE_HOURS = "SELECT bucket FROM site_telemetry_hour WHERE site_id = %s AND bucket >= %s AND bucket < %s"
CUSTOMER_HOURS = """
SELECT p.contract_id, COALESCE(sum(c.miners), 0) FROM unnest(%(contracts)s::int[], %(clients)s::uuid[],
    %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS p (contract_id, client_id, starts_at, ends_at)
LEFT JOIN client_telemetry_hour c ON c.client_id = p.client_id AND c.site_id = %(site)s
    AND c.bucket >= p.starts_at AND c.bucket < p.ends_at
GROUP BY 1
"""
MEAN_PRICE = """
SELECT CASE WHEN bool_and(price_s IS NOT NULL) AND min(currency) = max(currency) THEN round(sum(price_s) / 3600 / count(*), 6)
    END, COALESCE(min(currency), '')
FROM billing_hours WHERE day >= %s AND day < %s
"""
# The days of a large site in memory at once: with the server's 4 MB the same takes twice as long.
ROOM = "SET LOCAL work_mem = '128MB'; SET LOCAL jit = off"
DROP = "DROP TABLE IF EXISTS billing_days, billing_hours"


@dataclass
class MonthLedger:
    """What the ledger says of one site's month; valid while `month_ledger` is open."""

    span: Span
    site: Site
    parts: dict[int, tuple[Part, ...]]
    customer_hours: dict[int, int]
    hours_there: set[datetime] = field(default_factory=set)

    def usage(self, contract: Contract, *, first_invoice: bool) -> Usage:
        """The contract's month with its days read; nothing is written."""
        parts = self.parts[contract.pk]
        with connection.cursor() as cursor:
            cursor.execute(READ, [contract.pk])
            days = tuple(Day(*row) for row in cursor.fetchall())
            cursor.execute("SELECT COALESCE(sum(hours), 0) FROM billing_days WHERE contract_id = %s", [contract.pk])
            (machine_hours,) = cursor.fetchone()
        wanted: list[datetime] = []
        for part in parts:
            starts_at, ends_at = self._bounds(part)
            wanted += [starts_at + number * HOUR for number in range((ends_at - starts_at) // HOUR)]
        return Usage(
            month=self.span.first,
            month_days=(self.span.after - self.span.first).days,
            parts=parts,
            first_invoice=first_invoice,
            hours=len(wanted),
            hours_missing=sum(hour not in self.hours_there for hour in wanted),
            machine_hours_missing=abs(self.customer_hours.get(contract.pk, 0) - int(machine_hours)),
            days=days,
        )

    def store_days(self, contract: Contract, snapshot_id: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(STORE, [snapshot_id, contract.pk])

    def _bounds(self, part: Part) -> tuple[datetime, datetime]:
        return midnight(part.first, self.span.zone), midnight(part.after, self.span.zone)


@contextmanager
def month_ledger(site: Site, month: date, contracts: Sequence[Contract]) -> Iterator[MonthLedger]:
    """Read a site's month for these contracts, whose versions are prefetched or read here."""
    span = month_at(month, site.time_zone)
    parts = {contract.pk: parts_of(contract, span) for contract in contracts}
    flat = [(contract, part) for contract in contracts for part in parts[contract.pk]]
    values: dict[str, Any] = {
        "site": site.pk,
        "zone": site.time_zone,
        "start": span.starts_at,
        "end": span.ends_at,
        "kept": 1 - Decimal(str(settings.POOL_FEE_PERCENT)) / 100,
        "contracts": [contract.pk for contract, _ in flat],
        "clients": [contract.client_id for contract, _ in flat],
        "starts": [midnight(part.first, span.zone) for _, part in flat],
        "ends": [midnight(part.after, span.zone) for _, part in flat],
        "costs": [part.terms.currency if part.terms.pricing == Pricing.PASS_THROUGH else None for _, part in flat],
        "earns": [part.terms.pricing == Pricing.REVENUE_SHARE for _, part in flat],
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DROP)
        cursor.execute(ROOM)
        cursor.execute(HOURS, values)
        cursor.execute("ANALYZE billing_hours")
        cursor.execute(DAYS, values)
        cursor.execute(INDEX)
        cursor.execute(CUSTOMER_HOURS, values)
        customer_hours = {contract_id: int(hours) for contract_id, hours in cursor.fetchall()}
        cursor.execute(SITE_HOURS, [site.pk, span.starts_at, span.ends_at])
        there = {bucket for (bucket,) in cursor.fetchall()}
    _excuse(span, parts)
    known = {
        contract.pk: tuple(_with_sums(contract, part, span) for part in parts[contract.pk]) for contract in contracts
    }
    try:
        yield MonthLedger(span, site, known, customer_hours, there)
    finally:
        if not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(DROP)


def parts_of(contract: Contract, span: Span) -> tuple[Part, ...]:
    """The stretches of the month in which one version of the terms held."""
    versions = sorted(contract.versions.all(), key=lambda version: version.valid_from)
    ends = [version.valid_from for version in versions[1:]] + [span.after]
    found = []
    for version, until in zip(versions, ends, strict=True):
        first = max(version.valid_from, contract.starts_on, span.first)
        after = min(until, contract.ends_on or span.after, span.after)
        if first < after:
            found.append(Part(terms_of(version), first, after, Span(first, after, span.time_zone).seconds))
    return tuple(found)


def terms_of(version: ContractVersion) -> Terms:
    values = {name: getattr(version, name) for name in Terms.__slots__ if name != "version_id"}
    return Terms(version_id=version.pk, **values)


def _with_sums(contract: Contract, part: Part, span: Span) -> Part:
    """The part with what curtailment saved in it, and the mean price where a minimum is taken or paid at it."""
    saved: tuple[Saving, ...] = ()
    price, currency = None, ""
    if part.terms.curtailment_share_pct:
        starts_at, ends_at = midnight(part.first, span.zone), midnight(part.after, span.zone)
        found = savings(contract.client_id, contract.site_id, starts_at, ends_at)
        saved = tuple(Saving(one.currency, one.saved, one.kwh_avoided, one.stretches) for one in found)
    if part.terms.pricing == Pricing.PASS_THROUGH and part.terms.minimum_kw:
        with connection.cursor() as cursor:
            cursor.execute(MEAN_PRICE, [part.first, part.after])
            price, currency = cursor.fetchone()
    return Part(part.terms, part.first, part.after, part.seconds, saved, price, currency)


def _excuse(span: Span, parts: dict[int, tuple[Part, ...]]) -> None:
    """Excused seconds of every day: with curtailment for contracts that excuse it, by tickets alone for the others."""
    for curtailed in (True, False):
        miners = _machines_with_excuses(span, parts, curtailed=curtailed)
        for day in span.days() if miners else ():
            contracts = [
                contract_id
                for contract_id, held in parts.items()
                if any(part.first <= day < part.after and part.terms.curtailment_excused is curtailed for part in held)
            ]
            starts_at, ends_at = midnight(day, span.zone), midnight(day + timedelta(days=1), span.zone)
            seconds = excused_seconds(miners, starts_at, ends_at, curtailed=curtailed) if contracts else {}
            if seconds:
                with connection.cursor() as cursor:
                    cursor.execute(
                        EXCUSE,
                        {
                            "miners": list(seconds),
                            "seconds": list(seconds.values()),
                            "day": day,
                            "contracts": contracts,
                        },
                    )


def _machines_with_excuses(span: Span, parts: dict[int, tuple[Part, ...]], *, curtailed: bool) -> list[int]:
    """Of the machines of contracts that excuse this way, those that have such time in the month: few, mostly none."""
    contracts = [
        contract_id
        for contract_id, held in parts.items()
        if any(part.terms.curtailment_excused is curtailed for part in held)
    ]
    if not contracts:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT miner_id FROM billing_days WHERE contract_id = ANY(%s)", [contracts])
        miners = [miner_id for (miner_id,) in cursor.fetchall()]
    return list(excused_seconds(miners, span.starts_at, span.ends_at, curtailed=curtailed))
