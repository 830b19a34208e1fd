"""What-if against examples worked by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from analytics.whatif import MONTH_DAYS, Scenario, halving_after_days, halving_at, pay_back_months, project

# 100 TH/s at 62.8643 $/PH/day earn 6.28643 $ a day; 3 kW at 50 $/MWh cost 3.60 $.
PLAIN = Scenario(
    btc_price_usd=Decimal(100_000),
    difficulty=Decimal("1e14"),
    subsidy_btc=Decimal("3.125"),
    fees_btc=Decimal(0),
    hashrate_ths=Decimal(100),
    power_w=Decimal(3000),
    power_price_usd_per_kwh=Decimal("0.05"),
    months=24,
)
CENT = Decimal("0.01")


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def test_a_month_without_changes():
    first, *_, last = project(PLAIN)
    assert first.hashprice_usd_per_ph_day.quantize(Decimal("0.0001")) == Decimal("62.8643")
    assert cents(first.revenue_usd) == Decimal("191.34")  # 6.28643 x 30.4375
    assert first.energy_cost_usd == Decimal("109.575")  # 3.60 x 30.4375
    assert cents(first.profit_usd) == Decimal("81.77")
    assert cents(last.earned_usd) == cents(24 * first.profit_usd)


def test_a_pool_fee_is_taken_from_what_is_earned():
    (first, *_) = project(replace(PLAIN, pool_fee=Decimal("0.02")))
    assert cents(first.revenue_usd) == Decimal("187.52")
    assert first.energy_cost_usd == Decimal("109.575")


def test_difficulty_compounds_from_the_second_month():
    months = list(project(replace(PLAIN, difficulty_growth_percent=Decimal(10))))
    assert [month.difficulty for month in months[:3]] == [Decimal("1e14"), Decimal("1.1e14"), Decimal("1.21e14")]
    assert cents(months[1].revenue_usd) == Decimal("173.95")  # 191.34 / 1.1
    assert cents(months[2].revenue_usd) == Decimal("158.13")
    # 191.34 / 1.1^5 = 118.81 still pays 109.575, 108.01 does not: from the seventh month on it is off.
    assert [month.runs for month in months[:8]] == [True] * 6 + [False] * 2
    assert months[6].profit_usd == 0
    losing = list(project(replace(PLAIN, difficulty_growth_percent=Decimal(10), idles_at_a_loss=False)))
    assert cents(losing[6].profit_usd) == Decimal("-1.57")


def test_a_halving_counts_from_its_day():
    half_a_month = MONTH_DAYS * Decimal("1.5")
    months = list(project(replace(PLAIN, halving_after_days=half_a_month, idles_at_a_loss=False)))
    assert [month.subsidy_btc for month in months[:3]] == [Decimal("3.125"), Decimal("2.34375"), Decimal("1.5625")]
    assert cents(months[2].revenue_usd) == Decimal("95.67")
    at_once = list(project(replace(PLAIN, halving_after_days=Decimal(0))))
    assert at_once[0].subsidy_btc == Decimal("1.5625")


def test_pay_back_counts_the_last_month_in_part():
    month = next(project(PLAIN)).profit_usd
    assert pay_back_months(replace(PLAIN, machine_price_usd=month * Decimal("9.5"))).quantize(CENT) == Decimal("9.50")
    assert pay_back_months(replace(PLAIN, machine_price_usd=month * Decimal("23.999"))).quantize(CENT) == 24
    assert pay_back_months(replace(PLAIN, machine_price_usd=month * 25)) is None
    assert pay_back_months(PLAIN) is None
    growing = replace(PLAIN, machine_price_usd=Decimal(400), difficulty_growth_percent=Decimal(10))
    assert pay_back_months(growing) is None  # it earns 259.23 $ before it is switched off
    assert cents(list(project(growing))[-1].earned_usd) == Decimal("259.23")


def test_the_next_halving_is_as_many_blocks_away_as_are_left():
    assert halving_after_days(0) == Decimal(210_000) / 144
    assert halving_after_days(1_049_999) == Decimal(600) / 86_400
    assert halving_after_days(1_050_000) == Decimal(210_000) / 144
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert halving_at(1_050_000 - 144, now) == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes",
    [{"months": 0}, {"months": 121}, {"difficulty_growth_percent": Decimal(-100)}, {"power_w": Decimal(0)}],
    ids=str,
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match=r"months|difficulty|power"):
        list(project(replace(PLAIN, **changes)))
