"""What a machine would earn: months ahead at a price, a growing difficulty and the next halving. Pure, in Decimal.

A forecast of nothing: it says what follows from what is put in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from analytics.hashprice import BLOCK_S, DAY_H, HALVING_BLOCKS, TH_PER_PH, W_PER_KW, hashprice_usd_per_ph_day

MONTH_DAYS = Decimal("30.4375")  # 365.25 / 12
MAX_MONTHS = 120
HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is supposed. Difficulty grows by a percentage at the start of each month but the first; a pool fee is a share.

    `halving_after_days` is when the subsidy next halves; None is never. `idles_at_a_loss`: a month in which the power would
    cost more than is earned passes with the machine off.
    """

    btc_price_usd: Decimal
    difficulty: Decimal
    subsidy_btc: Decimal
    fees_btc: Decimal
    hashrate_ths: Decimal
    power_w: Decimal
    power_price_usd_per_kwh: Decimal
    pool_fee: Decimal = Decimal(0)
    difficulty_growth_percent: Decimal = Decimal(0)
    halving_after_days: Decimal | None = None
    machine_price_usd: Decimal | None = None
    months: int = 36
    idles_at_a_loss: bool = True


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the scenario, the first is number 1; money in USD, nothing rounded."""

    number: int
    difficulty: Decimal
    subsidy_btc: Decimal  # mean of the month: it may halve within
    hashprice_usd_per_ph_day: Decimal
    runs: bool
    revenue_usd: Decimal
    energy_cost_usd: Decimal
    profit_usd: Decimal
    earned_usd: Decimal  # profit up to its end


def halving_after_days(height: int) -> Decimal:
    """Days until the next halving, at a block in ten minutes."""
    return Decimal((HALVING_BLOCKS - height % HALVING_BLOCKS) * BLOCK_S) / 86_400


def halving_at(height: int, now: datetime) -> datetime:
    return now + timedelta(days=float(halving_after_days(height)))


def project(scenario: Scenario) -> Iterator[Month]:
    """Month by month; raises ValueError for what cannot be."""
    if not 1 <= scenario.months <= MAX_MONTHS:
        raise ValueError(f"{scenario.months} months: give 1 to {MAX_MONTHS}.")
    if scenario.difficulty_growth_percent <= -HUNDRED:
        raise ValueError("The difficulty cannot fall by 100 % or more in a month.")
    for name in ("hashrate_ths", "power_w"):
        if getattr(scenario, name) <= 0:
            raise ValueError(f"The {name.partition('_')[0]} must be more than 0.")
    earned = Decimal(0)
    difficulty = scenario.difficulty
    for number in range(1, scenario.months + 1):
        if number > 1:
            difficulty = difficulty * (HUNDRED + scenario.difficulty_growth_percent) / HUNDRED
        month = _month(scenario, number, difficulty, earned)
        earned = month.earned_usd
        yield month


def pay_back_months(scenario: Scenario) -> Decimal | None:
    """Months until the machine has earned its price, the last one in part; None: not within the months looked at."""
    price = scenario.machine_price_usd
    if price is None:
        return None
    before = Decimal(0)
    for month in project(scenario):
        if month.earned_usd >= price:
            share = (price - before) / month.profit_usd if month.profit_usd > 0 else Decimal(0)
            return month.number - 1 + share
        before = month.earned_usd
    return None


def _month(scenario: Scenario, number: int, difficulty: Decimal, earned: Decimal) -> Month:
    subsidy = _subsidy(scenario, number)
    hashprice = hashprice_usd_per_ph_day(
        difficulty=difficulty,
        subsidy_btc=subsidy,
        fees_btc=scenario.fees_btc,
        btc_price_usd=scenario.btc_price_usd,
    )
    revenue = hashprice / TH_PER_PH * scenario.hashrate_ths * (1 - scenario.pool_fee) * MONTH_DAYS
    cost = scenario.power_w / W_PER_KW * DAY_H * scenario.power_price_usd_per_kwh * MONTH_DAYS
    runs = revenue >= cost or not scenario.idles_at_a_loss
    revenue, cost = (revenue, cost) if runs else (Decimal(0), Decimal(0))
    profit = revenue - cost
    return Month(number, difficulty, subsidy, hashprice, runs, revenue, cost, profit, earned + profit)


def _subsidy(scenario: Scenario, number: int) -> Decimal:
    """Mean subsidy of the month; a second halving lies beyond ten years less four, and counts too."""
    after = scenario.halving_after_days
    if after is None:
        return scenario.subsidy_btc
    first, last = (number - 1) * MONTH_DAYS, number * MONTH_DAYS
    total, at, subsidy = Decimal(0), first, scenario.subsidy_btc
    turn = after
    era_days = Decimal(HALVING_BLOCKS * BLOCK_S) / 86_400
    while turn <= first:
        turn, subsidy = turn + era_days, subsidy / 2
    while at < last:
        until = min(turn, last)
        total += (until - at) * subsidy
        at = until
        if at == turn:
            turn, subsidy = turn + era_days, subsidy / 2
    return total / MONTH_DAYS
