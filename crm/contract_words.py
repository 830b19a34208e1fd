"""A contract's terms in plain words, for those who pay by them. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from crm.models import ContractVersion
from crm.states import Pricing

Words = tuple[str, str]


def in_words(terms: ContractVersion) -> list[Words]:
    """What is agreed, as pairs of subject and sentence; what is not agreed is not in it."""
    return [*_price(terms), *_least(terms), *_once(terms), *_uptime(terms), *_curtailment(terms), *_paying(terms)]


def plain(value: Decimal | None) -> str:
    """Without trailing zeros: 0.0650 as 0.065, and 100.00 as 100."""
    return "0" if not value else f"{value:,f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"


def _price(terms: ContractVersion) -> Iterator[Words]:
    rate = f"{terms.currency} {plain(terms.rate_per_kwh)}"
    flat = f"{terms.currency} {plain(terms.flat_per_miner)} for each machine and month"
    price = {
        Pricing.METERED: f"{rate} for each kWh that your machines were measured to use",
        Pricing.NAMEPLATE: f"{rate} for each kWh of your machines' rated power, for the time in which they hashed",
        Pricing.FLAT: f"{flat}, by the hour for parts of a month",
        Pricing.REVENUE_SHARE: f"{plain(terms.revenue_share_pct)} % of what your machines' hashrate earns"
        + (f", and {flat}" if terms.flat_per_miner else ""),
        Pricing.PASS_THROUGH: f"the site's own price of electricity in each hour, and {rate} for each kWh on top of it",
    }
    yield "Price", price[Pricing(terms.pricing)]
    if terms.rated_power_uplift_pct:
        yield "Cooling and losses", f"{plain(terms.rated_power_uplift_pct)} % on top of the measured or rated power"


def _least(terms: ContractVersion) -> Iterator[Words]:
    if terms.minimum_kw:
        yield "Take or pay", f"at least {plain(terms.minimum_kw)} kW are paid for in every hour, used or not"
    if terms.minimum_per_month:
        yield "Least charge", f"{terms.currency} {terms.minimum_per_month:,.2f} a month"


def _once(terms: ContractVersion) -> Iterator[Words]:
    if terms.deposit:
        yield "Deposit", f"{terms.currency} {terms.deposit:,.2f}, on the first invoice"
    if terms.setup_fee:
        yield "Setup", f"{terms.currency} {terms.setup_fee:,.2f}, on the first invoice"


def _uptime(terms: ContractVersion) -> Iterator[Words]:
    if terms.uptime_guarantee_pct is not None:
        promised, cap = plain(terms.uptime_guarantee_pct), plain(terms.sla_credit_cap_pct)
        credit = f"each point below it credits 1 % of the charges, at most {cap} %"
        yield "Uptime", f"{promised} % of the month is guaranteed; {credit}"


def _curtailment(terms: ContractVersion) -> Iterator[Words]:
    counts = (
        "do not count against the uptime" if terms.curtailment_excused else "count against the uptime like any other"
    )
    share = plain(terms.curtailment_share_pct)
    credited = f"; {share} % of what they save is credited to you" if terms.curtailment_share_pct else ""
    yield "Curtailment", f"minutes in which machines were stopped for the grid or the price {counts}{credited}"


def _paying(terms: ContractVersion) -> Iterator[Words]:
    yield "To be paid", f"within {terms.due_days} days of the invoice"
    if terms.late_fee:
        yield "When late", f"{terms.currency} {terms.late_fee:,.2f} may be charged"
    if terms.tax_pct:
        yield "Tax", f"{plain(terms.tax_pct)} % on top"
    if terms.terms:
        yield "Also agreed", terms.terms
