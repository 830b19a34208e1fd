"""Merit order: machines by the price of electricity that each bears, against the price that it pays now. From the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection

from analytics.hashprice import KWH_PER_MWH, break_even_usd_per_mwh
from analytics.models import MarketSnapshot
from analytics.profit import USD, Scope

WINDOW = timedelta(hours=24)
MAX_STEPS = 500


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as it ran in the last 24 hours of the ledger; `price_usd_per_mwh` is its site's now, None in other money."""

    miner_id: int
    serial: str
    site: str
    model: str | None
    power_kw: Decimal
    efficiency_j_th: Decimal
    break_even_usd_per_mwh: Decimal
    price_usd_per_mwh: Decimal | None

    @property
    def under_water(self) -> bool:
        return self.price_usd_per_mwh is not None and self.break_even_usd_per_mwh < self.price_usd_per_mwh


@dataclass(frozen=True, slots=True)
class ModelLine:
    """Machines of one model together."""

    model: str | None
    machines: int
    power_kw: Decimal
    efficiency_j_th: Decimal
    break_even_usd_per_mwh: Decimal


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines, best first. `hashprice` None: none is known, and no machine has a break-even. `idle` ones earned nothing."""

    machines: tuple[Machine, ...]
    models: tuple[ModelLine, ...]
    hashprice_usd_per_ph_day: Decimal | None
    hashprice_at: datetime | None
    stale: bool
    idle: int
    kw: Decimal
    kw_under_water: Decimal
    kw_without_price: Decimal

    def chart(self) -> dict[str, object]:
        """Steps of cumulative kW and break-even, at most 500, and a line for each site's price."""
        kw, steps = Decimal(0), []
        for machine in self.machines:
            steps.append((float(kw), float(machine.break_even_usd_per_mwh)))
            kw += machine.power_kw
        every = max(1, -(-len(steps) // MAX_STEPS))
        kept = steps[::every]
        if steps:
            kept.append((float(kw), steps[-1][1]))
        prices = {one.site: float(one.price_usd_per_mwh) for one in self.machines if one.price_usd_per_mwh is not None}
        return {
            "kw": [step[0] for step in kept],
            "break_even": [step[1] for step in kept],
            "prices": [{"site": site, "usd_per_mwh": price} for site, price in sorted(prices.items())],
        }


# 1 J/TH is 1 W per TH/s: kWh over TH·h is kJ/TH. Mean power over the seconds that were read.
RUNNING = """
SELECT h.miner_id, COALESCE(m.serial_number, '?'), s.name, k.name, h.kwh, h.read_h, h.ths_h, p.price_per_kwh
FROM (
    SELECT miner_id, site_id, sum(kwh) AS kwh, sum(period_s - gap_s)::numeric / 3600 AS read_h,
        sum(hashrate_ths_sum / NULLIF(hashrate_samples, 0) * (period_s - gap_s)) / 3600 AS ths_h
    FROM miner_telemetry_hour
    WHERE starts_at >= %(since)s AND starts_at < %(now)s AND kwh IS NOT NULL
      AND (%(client)s::uuid IS NULL OR client_id = %(client)s)
      AND (%(sites)s::int[] IS NULL OR site_id = ANY(%(sites)s))
    GROUP BY 1, 2
) h
JOIN hosting_sites s ON s.id = h.site_id
LEFT JOIN hosting_miners m ON m.id = h.miner_id
LEFT JOIN miner_models k ON k.id = m.miner_model_id
LEFT JOIN site_electricity_prices p ON p.site_id = h.site_id AND p.currency = %(usd)s
    AND p.valid_from <= %(now)s AND (p.valid_until IS NULL OR p.valid_until > %(now)s)
"""


def fleet(scope: Scope, now: datetime) -> Fleet:
    """The machines of the scope; for staff, since it shows prices of electricity."""
    newest = MarketSnapshot.objects.filter(hashprice_usd_per_ph_day__isnull=False).order_by("-bucket").first()
    hashprice = newest.hashprice_usd_per_ph_day if newest else None
    fee = Decimal(str(settings.POOL_FEE_PERCENT)) / 100
    values = {
        "since": now - WINDOW,
        "now": now,
        "client": scope.client_id,
        "sites": None if scope.site_ids is None else list(scope.site_ids),
        "usd": USD,
    }
    with connection.cursor() as cursor:
        cursor.execute(RUNNING, values)
        rows = cursor.fetchall()
    running = [row for row in rows if row[6] and row[4] and row[5]]
    machines = []
    for miner_id, serial, site, model, kwh, read_h, ths_h, price in running:
        if hashprice is None:
            break
        efficiency = kwh * 1000 / ths_h
        machines.append(
            Machine(
                miner_id=miner_id,
                serial=serial,
                site=site,
                model=model,
                power_kw=kwh / read_h,
                efficiency_j_th=efficiency,
                break_even_usd_per_mwh=break_even_usd_per_mwh(hashprice, efficiency, fee),
                price_usd_per_mwh=None if price is None else price * KWH_PER_MWH,
            )
        )
    machines.sort(key=lambda one: (-one.break_even_usd_per_mwh, one.miner_id))
    return Fleet(
        machines=tuple(machines),
        models=tuple(_models(machines)),
        hashprice_usd_per_ph_day=hashprice,
        hashprice_at=newest.created_at if newest else None,
        stale=newest is None or newest.is_stale(now),
        idle=len(rows) - len(running),
        kw=sum((one.power_kw for one in machines), Decimal(0)),
        kw_under_water=sum((one.power_kw for one in machines if one.under_water), Decimal(0)),
        kw_without_price=sum((one.power_kw for one in machines if one.price_usd_per_mwh is None), Decimal(0)),
    )


def _models(machines: list[Machine]) -> list[ModelLine]:
    """A model's break-even is that of its mean efficiency: hash and power of all its machines together."""
    groups: dict[str | None, list[Machine]] = {}
    for machine in machines:
        groups.setdefault(machine.model, []).append(machine)
    lines = []
    for model, members in groups.items():
        kw = sum((one.power_kw for one in members), Decimal(0))
        ths = sum((one.power_kw / one.efficiency_j_th for one in members), Decimal(0))
        efficiency = kw / ths
        # Hashprice and fee are the same for all: break-even times efficiency is one constant.
        constant = members[0].break_even_usd_per_mwh * members[0].efficiency_j_th
        lines.append(ModelLine(model, len(members), kw, efficiency, constant / efficiency))
    return sorted(lines, key=lambda line: -line.break_even_usd_per_mwh)
