"""From a month's frozen usage to an invoice's lines. Pure.

kWh and other quantities are rounded to 3 places, prices to 6, and each line's amount to the cent, all half to even; a sum is a
sum of rounded lines. Nothing but the usage goes in, so the same snapshot gives the same lines for ever.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from crm.billing.usage import BY_DAYS, Day, Part, Terms, Usage, plain

CENT, THOUSANDTH, MILLIONTH = Decimal("0.01"), Decimal("0.001"), Decimal("0.000001")
HOUR_S = 3600
JOULES_PER_KWH = 3_600_000
CHARGES = frozenset({"energy", "hosting", "minimum", "revenue_share"})
METERED, NAMEPLATE, FLAT, REVENUE_SHARE, PASS_THROUGH = "metered", "nameplate", "flat", "revenue_share", "pass_through"
BY_ENERGY = frozenset({METERED, NAMEPLATE, PASS_THROUGH})
USD = "USD"
PRICES = {  # columns without which a kind of pricing says nothing
    METERED: ("rate_per_kwh",),
    NAMEPLATE: ("rate_per_kwh",),
    FLAT: ("flat_per_miner",),
    REVENUE_SHARE: ("revenue_share_pct",),
    PASS_THROUGH: ("rate_per_kwh",),
}


@dataclass(frozen=True, slots=True)
class Line:
    """`amount` is `quantity` x `unit_price`, half to even to the cent."""

    kind: str
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sums:
    """A part of the month added up."""

    machines: int
    machine_days: int
    period_s: int
    kwh: Decimal
    gap_s: int
    hashing_s: int
    excused_s: int
    nameplate_kwh: Decimal
    energy_cost: Decimal
    revenue: Decimal

    @property
    def coverage_pct(self) -> Decimal | None:
        """Share of the machines' time of which the power is known; None without machines. Cut, so that 97.9999 stays below 98."""
        return Decimal((self.period_s - self.gap_s) * 100_000 // self.period_s) / 1000 if self.period_s else None

    @property
    def uptime_pct(self) -> Decimal | None:
        """Hashing, of the time that was not excused; None where all of it was."""
        owed = self.period_s - self.excused_s
        return (Decimal(100 * self.hashing_s) / owed).quantize(THOUSANDTH, ROUND_HALF_EVEN) if owed > 0 else None


def add_up(days: Iterable[Day]) -> Sums:
    """Sums of what is known; `holds` tells what is not."""
    rows = list(days)
    zero = Decimal(0)
    return Sums(
        machines=len({day.miner_id for day in rows}),
        machine_days=len(rows),
        period_s=sum(day.period_s for day in rows),
        kwh=sum((day.kwh for day in rows if day.kwh is not None), zero),
        gap_s=sum(day.gap_s for day in rows),
        hashing_s=sum(day.hashing_s for day in rows),
        excused_s=sum(day.excused_s for day in rows),
        nameplate_kwh=sum((day.nameplate_w * day.hashing_s for day in rows if day.nameplate_w is not None), zero)
        / JOULES_PER_KWH,
        energy_cost=sum((day.energy_cost for day in rows if day.energy_cost is not None), zero),
        revenue=sum((day.revenue for day in rows if day.revenue is not None), zero),
    )


def line(kind: str, description: str, quantity: Decimal, unit: str, unit_price: Decimal, **detail: object) -> Line:
    """A line of rounded quantity and price, whose product is rounded once more."""
    rounded = quantity.quantize(THOUSANDTH, ROUND_HALF_EVEN)
    price = unit_price.quantize(MILLIONTH, ROUND_HALF_EVEN)
    amount = (rounded * price).quantize(CENT, ROUND_HALF_EVEN)
    return Line(kind, description, rounded, unit, price, amount, plain(detail))


def lines_of(usage: Usage) -> list[Line]:
    """The lines of a month: part by part, as versions of the terms held, then what is due once."""
    found: list[Line] = []
    for part in usage.parts:
        charges = list(charges_of(usage, part))
        found += [*charges, *credits_of(usage, part, charges)]
    if usage.first_invoice and usage.parts:
        found += once(usage.parts[0].terms)
    return found


def net_of(lines: Sequence[Line]) -> Decimal:
    return sum((one.amount for one in lines), Decimal("0.00"))


# --- charges ------------------------------------------------------------------------------------------------------------


def charges_of(usage: Usage, part: Part) -> Iterator[Line]:
    """What the terms of one part ask for, its minimum included."""
    terms, sums = part.terms, add_up(usage.of(part))
    charged: list[Line] = []
    if terms.pricing in BY_ENERGY:
        charged += energy_lines(part, sums)
    if terms.pricing == FLAT or (terms.pricing == REVENUE_SHARE and terms.flat_per_miner):
        charged.append(flat_line(usage, part, sums))
    if terms.pricing == REVENUE_SHARE:
        charged.append(
            line(
                "revenue_share",
                f"{number(terms.revenue_share_pct)} % of the revenue, {period(part)}",
                sums.revenue,
                USD,
                (terms.revenue_share_pct or Decimal(0)) / 100,
                revenue=sums.revenue,
                machines=sums.machines,
                version=terms.version_id,
            )
        )
    yield from charged
    yield from minimum_line(usage, part, charged)


def energy_lines(part: Part, sums: Sums) -> Iterator[Line]:
    """kWh times the rate; passed-through electricity as one sum of its hours, and the margin; then what take-or-pay lacks."""
    terms = part.terms
    factor = 1 + terms.rated_power_uplift_pct / 100
    rate = terms.rate_per_kwh or Decimal(0)
    used = sums.nameplate_kwh if terms.pricing == NAMEPLATE else sums.kwh
    kwh = (used * factor).quantize(THOUSANDTH, ROUND_HALF_EVEN)
    facts = {
        "kwh": used,
        "uplift_pct": terms.rated_power_uplift_pct,
        "machines": sums.machines,
        "coverage_pct": sums.coverage_pct,
        "version": terms.version_id,
    }
    if terms.pricing == PASS_THROUGH:
        cost = (sums.energy_cost * factor).quantize(CENT, ROUND_HALF_EVEN)
        text = f"Electricity at the site's price of each hour, {kwh:,} kWh, {period(part)}"
        yield line("energy", text, Decimal(1), "sum", cost, energy_cost=sums.energy_cost, **facts)
        yield line("hosting", f"Margin, {period(part)}", kwh, "kWh", rate, **facts)
    else:
        text = "Rated power while hashing" if terms.pricing == NAMEPLATE else "Metered electricity"
        yield line("energy", f"{text}, {period(part)}", kwh, "kWh", rate, **facts)
    if terms.minimum_kw:
        agreed = (terms.minimum_kw * part.seconds / HOUR_S).quantize(THOUSANDTH, ROUND_HALF_EVEN)
        if agreed > kwh:
            price = rate + (part.mean_price or Decimal(0)) if terms.pricing == PASS_THROUGH else rate
            text = f"Take or pay, {number(terms.minimum_kw)} kW, {period(part)}"
            yield line(
                *("minimum", text, agreed - kwh, "kWh", price),
                agreed_kwh=agreed,
                used_kwh=kwh,
                hours=Decimal(part.seconds) / HOUR_S,
                version=terms.version_id,
            )


def flat_line(usage: Usage, part: Part, sums: Sums) -> Line:
    """Pro rata: the hours in which machines were the customer's, as a share of the part's, and the part's days of the month's."""
    days = (part.after - part.first).days
    share = Decimal(sums.period_s * days) / (part.seconds * usage.month_days)
    return line(
        "hosting",
        f"Hosting of {sums.machines:,} machines, {period(part)}",
        Decimal(sums.machine_days) / usage.month_days if usage.rules == BY_DAYS else share,
        "machine-month",
        part.terms.flat_per_miner or Decimal(0),
        machines=sums.machines,
        machine_days=sums.machine_days,
        month_days=usage.month_days,
        version=part.terms.version_id,
        **({} if usage.rules == BY_DAYS else {"machine_hours": (Decimal(sums.period_s) / HOUR_S).quantize(THOUSANDTH)}),
    )


def minimum_line(usage: Usage, part: Part, charged: Sequence[Line]) -> Iterator[Line]:
    """What is missing to the month's minimum, pro rata by days."""
    if part.terms.minimum_per_month:
        days = (part.after - part.first).days
        least = (part.terms.minimum_per_month * days / usage.month_days).quantize(CENT, ROUND_HALF_EVEN)
        lacking = least - net_of(charged)
        if lacking > 0:
            text = f"Up to the minimum charge, {period(part)}"
            facts = {"minimum": least, "days": days, "month_days": usage.month_days, "version": part.terms.version_id}
            yield line("minimum", text, Decimal(1), "sum", lacking, **facts)


def once(terms: Terms) -> Iterator[Line]:
    """Deposit and setup, on a contract's first invoice."""
    if terms.deposit:
        yield line("deposit", "Deposit", Decimal(1), "sum", terms.deposit, version=terms.version_id)
    if terms.setup_fee:
        yield line("setup", "Setup", Decimal(1), "sum", terms.setup_fee, version=terms.version_id)


# --- credits ------------------------------------------------------------------------------------------------------------


def credits_of(usage: Usage, part: Part, charges: Sequence[Line]) -> Iterator[Line]:
    """What the customer gets back: for missed uptime, and of what curtailment saved. Negative lines."""
    terms, sums = part.terms, add_up(usage.of(part))
    uptime = sums.uptime_pct
    fee = net_of([one for one in charges if one.kind in CHARGES])
    if (
        terms.uptime_guarantee_pct is not None
        and uptime is not None
        and uptime < terms.uptime_guarantee_pct
        and fee > 0
    ):
        shortfall = min(terms.uptime_guarantee_pct - uptime, terms.sla_credit_cap_pct)
        yield line(
            "sla_credit",
            f"Uptime {uptime} % of guaranteed {number(terms.uptime_guarantee_pct)} %, {period(part)}",
            shortfall,
            "% of the fee",
            -fee / 100,
            uptime_pct=uptime,
            guarantee_pct=terms.uptime_guarantee_pct,
            cap_pct=terms.sla_credit_cap_pct,
            fee=fee,
            machine_s=sums.period_s,
            hashing_s=sums.hashing_s,
            excused_s=sums.excused_s,
            version=terms.version_id,
        )
    if terms.curtailment_share_pct:
        for saving in part.savings:
            if saving.currency == terms.currency and saving.saved > 0:
                yield line(
                    "curtailment_share",
                    f"{number(terms.curtailment_share_pct)} % of what curtailment saved, {period(part)}",
                    saving.saved,
                    saving.currency,
                    -terms.curtailment_share_pct / 100,
                    saved=saving.saved,
                    kwh_avoided=saving.kwh_avoided,
                    stretches=saving.stretches,
                    version=terms.version_id,
                )


def terms_for_all(usage: Usage) -> Terms:
    """Whose currency, tax and days to pay an invoice has: those that hold at the month's end."""
    return usage.parts[-1].terms


# --- words --------------------------------------------------------------------------------------------------------------


def period(part: Part) -> str:
    """The first and the last day, as people write them."""
    last = part.after - timedelta(days=1)
    return str(part.first) if last == part.first else f"{part.first} to {last}"


def number(value: Decimal | None) -> str:
    """A decimal without zeros at its end."""
    if value is None:
        return "-"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
