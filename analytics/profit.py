"""Profit from the energy ledger: what each machine's hour earned and cost, and sums of those. Queries only.

A machine's hour earns TH·h × hashprice of that hour, less the pool's fee, and costs kWh × price then in force, each rounded
once to a hundred-millionth of a dollar: every other figure is a sum of these, so days and machines add up to the last digit. An
hour of which something is not known has no figure, not zero, and is counted. docs/why/decisions/0026-profit.md
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from accounts.models import User
from accounts.roles import Role
from minefarm.lib.rls import aside

PERIODS = ("hour", "day", "month", "total")
GROUPS = ("site", "client", "model", "miner")
USD = "USD"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose hours are asked for. None of `site_ids` or `miner_ids` is all; a customer's are those that were theirs then."""

    client_id: UUID | None = None
    site_ids: Collection[int] | None = None
    miner_ids: Collection[int] | None = None

    @classmethod
    def of(cls, user: User) -> "Scope":
        """What somebody may ask about: a customer their own hours, staff those of their sites, anybody else none."""
        if user.role == Role.CLIENT:
            return cls(client_id=user.pk)
        if user.is_staff:
            return cls(site_ids=user.site_ids)
        return cls(site_ids=())


@dataclass(frozen=True, slots=True)
class Profit:
    """One group's period. Money in USD; None where no hour has the figure.

    `profit_usd` is of the `counted_hours` alone, in which both sides are known; `revenue_usd` and `cost_usd` are of all hours in
    which they are. So profit is revenue less cost exactly when `complete`.
    """

    starts_at: datetime | None
    site_id: int | None
    site: str | None
    client_id: UUID | None
    client: str | None
    model: str | None
    miner_id: int | None
    miner: str | None
    ths_h: Decimal | None
    kwh: Decimal | None
    revenue_usd: Decimal | None
    cost_usd: Decimal | None
    profit_usd: Decimal | None
    machine_hours: int
    counted_hours: int
    gap_hours: int  # nothing was read
    partial_hours: int  # read in part: figures are of that part
    hours_without_hashprice: int
    hours_without_price: int
    hours_in_other_currency: int
    currencies: tuple[str, ...]  # of the others the first and the last by name
    made_up: bool  # a hashprice of it is a demo's

    @property
    def complete(self) -> bool:
        return self.counted_hours == self.machine_hours

    @property
    def note(self) -> str:
        """What is missing, in words; empty when nothing is."""
        said = []
        if self.gap_hours:
            said.append(f"{self.gap_hours:,} h not read")
        if self.partial_hours:
            said.append(f"{self.partial_hours:,} h read in part")
        if self.hours_without_hashprice:
            said.append(f"{self.hours_without_hashprice:,} h without a hashprice")
        if self.hours_without_price:
            said.append(f"{self.hours_without_price:,} h without a price of electricity")
        if self.hours_in_other_currency:
            said.append(
                f"{self.hours_in_other_currency:,} h with prices in {', '.join(self.currencies)}: give USD prices"
            )
        if self.made_up:
            said.append("hashprice made up for a demo")
        return "; ".join(said)


# A price counts in an hour for the seconds in which it holds: where prices change within the hour, their mean by time is taken.
# Hours are those of the site's clock, stepped in absolute time.
HOURS = """
hours AS MATERIALIZED (
    SELECT s.id AS site_id, hour.starts_at, m.earned, m.parts, m.made_up, p.usd_s, p.held_s, p.currencies,
        CASE WHEN %(per)s IN ('day', 'month') THEN date_trunc(%(per)s, hour.starts_at, s.time_zone)
            ELSE hour.starts_at END AS period
    FROM hosting_sites s
    CROSS JOIN LATERAL generate_series(
        date_trunc('hour', %(start)s::timestamptz, s.time_zone), %(end)s::timestamptz, interval '1 hour'
    ) AS hour (starts_at)
    CROSS JOIN LATERAL (
        SELECT sum(hashprice_usd_per_ph_day) * %(kept)s::numeric AS earned, count(*) * 86400000 AS parts,
            COALESCE(bool_or(origin = 'generated'), false) AS made_up
        FROM market_analytics
        WHERE bucket >= hour.starts_at AND bucket < hour.starts_at + interval '1 hour' AND hashprice_usd_per_ph_day IS NOT NULL
    ) m
    CROSS JOIN LATERAL (
        SELECT sum(price_per_kwh * held_s) FILTER (WHERE currency = 'USD') AS usd_s, COALESCE(sum(held_s), 0) AS held_s,
            array_agg(DISTINCT currency) FILTER (WHERE currency <> 'USD') AS currencies
        FROM (
            SELECT price_per_kwh, currency, extract(epoch FROM
                LEAST(COALESCE(valid_until, 'infinity'), hour.starts_at + interval '1 hour')
                - GREATEST(valid_from, hour.starts_at))::numeric AS held_s
            FROM site_electricity_prices
            WHERE site_id = s.id AND valid_from < hour.starts_at + interval '1 hour'
              AND (valid_until IS NULL OR valid_until > hour.starts_at)
        ) held
    ) p
    WHERE hour.starts_at < %(end)s AND (%(sites)s::int[] IS NULL OR s.id = ANY(%(sites)s))
)
"""
# Revenue and cost are products with one division each, the last step before they are rounded: 86,400,000 is 3600 s times the
# 24,000 of $/PH/day to $ per TH and hour.
MACHINE_HOURS = """
machine_hours AS (
    SELECT x.period, h.site_id, h.client_id, h.miner_id, h.kwh, h.gap_s, w.ths_s, h.hashrate_samples,
        round(w.ths_s * x.earned / (h.hashrate_samples * x.parts), 8) AS revenue,
        CASE WHEN x.currencies IS NULL AND x.held_s = 3600 THEN round(h.kwh * x.usd_s / 3600, 8) END AS cost,
        x.currencies IS NULL AND x.held_s IS DISTINCT FROM 3600 AS unpriced, x.earned IS NULL AS unmarketed,
        x.made_up, x.currencies
    FROM miner_telemetry_hour h
    LEFT JOIN hours x ON x.site_id = h.site_id AND x.starts_at = h.starts_at
    CROSS JOIN LATERAL (SELECT CASE WHEN h.kwh IS NOT NULL AND h.hashrate_samples > 0
        THEN h.hashrate_ths_sum * (h.period_s - h.gap_s) END AS ths_s) w
    WHERE h.starts_at >= %(start)s AND h.starts_at < %(end)s
      AND (%(client)s::uuid IS NULL OR h.client_id = %(client)s)
      AND (%(sites)s::int[] IS NULL OR h.site_id = ANY(%(sites)s))
      AND (%(miners)s::int[] IS NULL OR h.miner_id = ANY(%(miners)s))
)
"""
# Grouped by numbers first: names are looked up for the few rows that come of it.
SUMS = """
sums AS (
    SELECT {keys},
        sum(h.ths_s / h.hashrate_samples / 3600) AS ths_h, sum(h.kwh) AS kwh, sum(h.revenue) AS revenue_usd,
        sum(h.cost) AS cost_usd, sum(h.revenue - h.cost) AS profit_usd, count(*) AS machine_hours,
        count(*) FILTER (WHERE h.revenue IS NOT NULL AND h.cost IS NOT NULL) AS counted_hours,
        count(*) FILTER (WHERE h.ths_s IS NULL) AS gap_hours,
        count(*) FILTER (WHERE h.ths_s IS NOT NULL AND h.gap_s > 0) AS partial_hours,
        count(*) FILTER (WHERE h.ths_s IS NOT NULL AND h.unmarketed) AS hours_without_hashprice,
        count(*) FILTER (WHERE h.ths_s IS NOT NULL AND h.unpriced) AS hours_without_price,
        count(*) FILTER (WHERE h.ths_s IS NOT NULL AND h.currencies IS NOT NULL) AS hours_in_other_currency,
        ARRAY[min(h.currencies[1]), max(h.currencies[cardinality(h.currencies)])] AS currencies,
        COALESCE(bool_or(h.made_up), false) AS made_up
    FROM machine_hours h {joined}
    {grouped}
    LIMIT %(limit)s
)
SELECT sums.starts_at, sums.site_id, s.name AS site, sums.client_id, COALESCE(NULLIF(u.name, ''), u.email) AS client,
    k.name AS model, sums.miner_id, m.serial_number AS miner, ths_h, kwh, revenue_usd, cost_usd, profit_usd, machine_hours,
    counted_hours, gap_hours, partial_hours, hours_without_hashprice, hours_without_price, hours_in_other_currency,
    currencies, made_up
FROM sums
LEFT JOIN hosting_sites s ON s.id = sums.site_id
LEFT JOIN users u ON u.id = sums.client_id
LEFT JOIN miner_models k ON k.id = sums.model_id
LEFT JOIN hosting_miners m ON m.id = sums.miner_id
ORDER BY sums.starts_at, s.name, client, k.name, m.serial_number, sums.site_id, sums.client_id, sums.miner_id
"""
KEYS = {
    "starts_at": ("h.period", "NULL::timestamptz"),
    "site": ("h.site_id", "NULL::int"),
    "client": ("h.client_id", "NULL::uuid"),
    "model": ("of_model.miner_model_id", "NULL::int"),
    "miner": ("h.miner_id", "NULL::int"),
}
NAMES = {"starts_at": "starts_at"} | {name: f"{name}_id" for name in ("site", "client", "model", "miner")}
MODELS = "LEFT JOIN hosting_miners of_model ON of_model.id = h.miner_id"


class TooMany(ValueError):
    """More rows than were asked for at most."""


def profit(
    scope: Scope,
    start: datetime,
    end: datetime,
    *,
    per: str = "total",
    by: Sequence[str] = (),
    limit: int = 10_000,
) -> list[Profit]:
    """Profit of the hours that begin in [start, end), oldest first, then by name; days and months are those of each site's clock.

    `by` names what is told apart: site, client, model, miner. Raises ValueError for another word, TooMany beyond `limit` rows.
    Behind a customer's wall it steps aside: prices of electricity are the farm's own and hidden there, so the scope, not the
    wall, keeps the rows of others out: `Scope.of()` names the customer.
    """
    if per not in PERIODS or set(by) - set(GROUPS):
        raise ValueError(f"Ask per {', '.join(PERIODS)} and by {', '.join(GROUPS)}.")
    values = {
        "start": start,
        "end": end,
        "client": scope.client_id,
        "sites": None if scope.site_ids is None else list(scope.site_ids),
        "miners": None if scope.miner_ids is None else list(scope.miner_ids),
        "kept": 1 - Decimal(str(settings.POOL_FEE_PERCENT)) / 100,
        "per": per,
        "limit": limit + 1,
    }
    with aside(), connection.cursor() as cursor:
        cursor.execute(f"WITH {HOURS}, {MACHINE_HOURS}, {_sums(per, by)}", values)
        names = [column.name for column in cursor.description]
        rows = [_profit(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    if len(rows) > limit:
        raise TooMany(f"More than {limit:,} rows: ask for a shorter range, longer periods or fewer groups.")
    return [] if per == "total" and not by and not rows[0].machine_hours else rows


def _sums(per: str, by: Sequence[str]) -> str:
    told = {*by, *(["starts_at"] if per != "total" else [])}
    keys = [f"{key if name in told else none} AS {NAMES[name]}" for name, (key, none) in KEYS.items()]
    grouped = ", ".join(key for name, (key, _) in KEYS.items() if name in told)
    return SUMS.format(
        keys=", ".join(keys),
        joined=MODELS if "model" in told else "",
        grouped=f"GROUP BY {grouped}" if grouped else "",
    )


def _profit(row: dict[str, Any]) -> Profit:
    return Profit(**{**row, "currencies": tuple(sorted({code for code in row["currencies"] if code}))})
