"""Why a month's bill must not go out before somebody has looked at it. Pure."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from crm.billing.lines import NAMEPLATE, PASS_THROUGH, PRICES, REVENUE_SHARE, USD, add_up, lines_of, net_of
from crm.billing.usage import Day, Part, Usage

COVERAGE_PCT = Decimal(98)
VARIANCE_PCT = Decimal(20)


def holds(usage: Usage) -> tuple[str, ...]:
    """Why the month must not go out unseen; empty when nothing is odd."""
    if not usage.parts:
        return ("no terms hold in this month",)
    found = list(ledger_holds(usage))
    for part in usage.parts:
        found += [text for text in part_holds(usage, part) if text not in found]
    if len({part.terms.currency for part in usage.parts}) > 1:
        found.append("the currency changes within the month: bill it in two invoices by hand")
    if len({part.terms.tax_pct for part in usage.parts}) > 1:
        found.append("the tax changes within the month: bill it in two invoices by hand")
    if net_of(lines_of(usage)) < 0:
        found.append("the credits are higher than the charges")
    return tuple(found)


def ledger_holds(usage: Usage) -> Iterator[str]:
    if usage.hours_missing:
        yield f"{usage.hours_missing:,} of {usage.hours:,} hours are not in the ledger: run rollup_telemetry"
    if usage.machine_hours_missing:
        yield f"the ledger's sums differ by {usage.machine_hours_missing:,} machine-hours: run rollup_telemetry"
    sums = add_up(usage.days)
    if sums.coverage_pct is None:
        yield "no machine of the customer is in the ledger"
    elif sums.coverage_pct < COVERAGE_PCT:
        yield f"only {sums.coverage_pct} % of the machines' time was read, {COVERAGE_PCT} % are needed"
    priced = [day for day in usage.days if day.kwh is not None and day.nameplate_w is not None]
    measured, rated = add_up(priced).kwh, add_up(priced).nameplate_kwh
    if rated and abs(measured - rated) * 100 > rated * VARIANCE_PCT:
        share = ((measured - rated) * 100 / rated).quantize(Decimal("0.1"))
        yield f"the energy is {share:+} % of what the machines are rated for while hashing"


def part_holds(usage: Usage, part: Part) -> Iterator[str]:
    terms, days = part.terms, usage.of(part)
    for column in PRICES[terms.pricing]:
        if getattr(terms, column) is None:
            yield f"the terms of {terms.valid_from} lack {column}"
    if terms.pricing in PRICING_HOLDS:
        yield from PRICING_HOLDS[terms.pricing](part, days)
    if terms.curtailment_share_pct and any(one.currency != terms.currency for one in part.savings):
        yield f"curtailment saved in another currency than {terms.currency}"


def price_holds(part: Part, days: Sequence[Day]) -> Iterator[str]:
    terms = part.terms
    unpriced = sum(day.kwh is not None and day.energy_cost is None for day in days)
    if unpriced:
        yield f"no price of electricity in {terms.currency} for {unpriced:,} machine-days"
    if terms.minimum_kw and (part.mean_price is None or part.price_currency != terms.currency):
        yield f"no price of electricity in {terms.currency} for every hour of the take-or-pay minimum"


def revenue_holds(part: Part, days: Sequence[Day]) -> Iterator[str]:
    if part.terms.currency != USD:
        yield "a share of the revenue can be billed in USD only"
    unmarketed = sum(day.th_hours is not None and day.revenue is None for day in days)
    if unmarketed:
        yield f"no hashprice for {unmarketed:,} machine-days"


def nameplate_holds(_part: Part, days: Sequence[Day]) -> Iterator[str]:
    unrated = len({day.serial_number for day in days if day.nameplate_w is None})
    if unrated:
        yield f"{unrated:,} machines have a model without a rated power"


PRICING_HOLDS = {PASS_THROUGH: price_holds, REVENUE_SHARE: revenue_holds, NAMEPLATE: nameplate_holds}
