"""Subsidy, hashprice, break-even and profit by worked values."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from analytics.generated import made_up
from analytics.hashprice import (
    FIRST_SUBSIDY_SATS,
    HALVING_BLOCKS,
    break_even_usd_per_mwh,
    hashprice_sat_per_th_day,
    hashprice_usd_per_ph_day,
    network_hashrate_ehs,
    next_retarget_height,
    profitability,
    subsidy_btc,
    subsidy_sats,
)
from analytics.history import seed_generated
from analytics.models import MarketSnapshot
from tests.farm import run_manage

D = Decimal


def test_the_subsidy_is_right_at_every_halving_height():
    assert [subsidy_sats(height) for height in (0, 209_999, 210_000, 420_000, 630_000, 840_000, 1_050_000)] == [
        *(5_000_000_000, 5_000_000_000, 2_500_000_000, 1_250_000_000, 625_000_000, 312_500_000, 156_250_000)
    ]
    for halving in range(70):
        expected = FIRST_SUBSIDY_SATS // 2**halving
        first = halving * HALVING_BLOCKS
        assert subsidy_sats(first) == subsidy_sats(first + HALVING_BLOCKS - 1) == expected
        assert first == 0 or subsidy_sats(first - 1) == FIRST_SUBSIDY_SATS // 2 ** (halving - 1)
    assert subsidy_sats(32 * HALVING_BLOCKS) == 1
    assert subsidy_sats(33 * HALVING_BLOCKS) == 0
    assert subsidy_btc(840_000) == D("3.125")
    # All coins there will ever be, to the satoshi.
    assert sum(subsidy_sats(era * HALVING_BLOCKS) * HALVING_BLOCKS for era in range(70)) == 2_099_999_997_690_000
    with pytest.raises(ValueError, match="heights begin with 0"):
        subsidy_sats(-1)


def test_hashprice_by_the_worked_value():
    work = {"difficulty": D("1e14"), "subsidy_btc": D("3.125"), "fees_btc": D(0)}
    assert round(hashprice_usd_per_ph_day(**work, btc_price_usd=D(100_000)), 4) == D("62.8643")
    assert round(hashprice_sat_per_th_day(**work), 4) == D("62.8643")
    with_fees = work | {"fees_btc": D("3.125")}
    assert round(hashprice_usd_per_ph_day(**with_fees, btc_price_usd=D(50_000)), 4) == D("62.8643")
    with pytest.raises(ValueError, match="difficulty is 0"):
        hashprice_sat_per_th_day(**work | {"difficulty": D(0)})


@pytest.mark.parametrize(
    ("efficiency", "pool_fee", "expected"),
    [("30", "0", "69.44"), ("17.5", "0", "119.05"), ("30", "0.02", "68.06"), ("30", "0.5", "34.72")],
)
def test_break_even_by_the_worked_values(efficiency, pool_fee, expected):
    assert round(break_even_usd_per_mwh(D(50), D(efficiency), D(pool_fee)), 2) == D(expected)


def test_profit_of_an_s19_pro_at_45_dollars_and_60_a_mwh():
    # An hour: revenue 0.20625 $, power 0.195 $.
    day = profitability(
        hashprice_usd_per_ph_day=D(45), hashrate_ths=D(110), power_w=D(3250), power_price_usd_per_kwh=D("0.06")
    )
    assert day.revenue_usd_per_day / 24 == D("0.20625")
    assert day.energy_cost_usd_per_day / 24 == D("0.195")
    assert day.profit_usd_per_day / 24 == D("0.01125")
    # At the price of break-even nothing is left.
    even = profitability(
        hashprice_usd_per_ph_day=D(45),
        hashrate_ths=D(110),
        power_w=D(3250),
        power_price_usd_per_kwh=day.break_even_usd_per_mwh / 1000,
    )
    assert abs(even.profit_usd_per_day) < D("1e-20")


def test_network_by_difficulty():
    assert round(network_hashrate_ehs(D("1e14")), 2) == D("715.83")
    assert [next_retarget_height(height) for height in (0, 2015, 2016, 850_000)] == [2016, 2016, 4032, 850_752]


def test_the_command_needs_no_database_when_everything_is_given():
    done = run_manage(
        *("profitability", "--hashrate-ths", "100", "--power-w", "3000", "--power-price", "0.05", "--btc-price=100000"),
        *("--difficulty", "1e14", "--subsidy", "3.125", "--fees", "0", "--pool-fee", "2", "--json"),
        DATABASE_URL="",
        REDIS_URL="",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "hashprice_usd_per_ph_day": 62.8643,
        "revenue_usd_per_day": 6.1607,
        "energy_cost_usd_per_day": 3.6,
        "profit_usd_per_day": 2.5607,
        "break_even_usd_per_mwh": 85.57,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--power-price", "0.05"), "Give --model NAME"),
        (("--power-price", "0.05", "--model", "S19 Pro", "--power-w", "1"), "not both"),
        (("--power-price", "x", "--model", "S19 Pro"), "is no number"),
        (("--power-price", "nan", "--model", "S19 Pro"), "from 0 on"),
        (("--power-price=-1", "--model", "S19 Pro"), "from 0 on"),
        (("--model", "S19 Pro"), "--power-price"),
        (("--power-price", "0.05", "--model", "Toaster"), "give one of S19"),
        (("--power-price", "0.05", "--model", "S19 Pro", "--pool-fee", "100"), "fee is 1"),
        (("--power-price", "0.05", "--hashrate-ths", "0", "--power-w", "9"), "hashrate is 0"),
        (("--power-price", "0.05", "--model", "S19 Pro", "--difficulty", "0"), "difficulty is 0"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments, told):
    market = ("--btc-price", "100000", "--difficulty", "1e14", "--subsidy", "3.125", "--fees", "0")
    with pytest.raises(CommandError, match=told):
        call_command("profitability", *market, *arguments)


@pytest.mark.django_db
def test_the_command_completes_what_is_not_given_from_the_newest_snapshot(capsys):
    arguments = ("--hashrate-ths", "1000", "--power-w", "1", "--power-price", "0", "--json")
    with pytest.raises(CommandError, match="give --btc-price, --difficulty, --subsidy, --fees, or run collect_market"):
        call_command("profitability", *arguments)
    newest = made_up(datetime(2026, 11, 1, tzinfo=UTC))
    seed_generated(newest.at + timedelta(minutes=1), days=1)
    capsys.readouterr()
    call_command("profitability", *arguments)
    stored = MarketSnapshot.objects.newest()
    assert stored.btc_price == newest.price_usd
    document = json.loads(capsys.readouterr().out)
    assert document["hashprice_usd_per_ph_day"] == float(round(stored.hashprice_usd_per_ph_day, 4))
    call_command("profitability", *arguments, "--btc-price", str(2 * newest.price_usd))
    doubled = json.loads(capsys.readouterr().out)
    assert doubled["revenue_usd_per_day"] == pytest.approx(2 * document["revenue_usd_per_day"], abs=0.0001)


@pytest.mark.django_db
def test_unknown_fees_count_as_none_and_the_command_says_so(capsys):
    given = ("--btc-price", "100000", "--difficulty", "1e14", "--subsidy", "3.125")
    call_command("profitability", "--model", "s21", "--power-price", "0.05", "--json", *given)
    told = capsys.readouterr()
    assert json.loads(told.out)["hashprice_usd_per_ph_day"] == 62.8643
    assert "counted as 0" in told.err
