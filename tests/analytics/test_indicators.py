"""Indicators against TA-Lib, against values by hand, and against what must hold for any series."""

import math
import random
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
import talib
from hypothesis import given, settings, strategies as st

from analytics.generated import BEGIN, STEP, made_up
from analytics.indicators import TAIL, WARM_AFTER, Run, Signal, Values, compute, vote

# The sample of 33 closes that spreadsheets of Wilder's RSI are checked with (QQQQ, late 2009), and its published RSI.
PUBLISHED = [
    *(
        "44.34",
        "44.09",
        "44.15",
        "43.61",
        "44.33",
        "44.83",
        "45.10",
        "45.42",
        "45.84",
        "46.08",
        "45.89",
        "46.03",
        "45.61",
    ),
    *(
        "46.28",
        "46.28",
        "46.00",
        "46.03",
        "46.41",
        "46.22",
        "45.64",
        "46.21",
        "46.25",
        "45.71",
        "46.45",
        "45.78",
        "45.35",
    ),
    *("44.03", "44.18", "44.22", "44.57", "43.42", "42.66", "43.13"),
]
PUBLISHED_RSI = [
    *(70.46, 66.25, 66.48, 69.35, 66.29, 57.92, 62.88, 63.21, 56.01, 62.34, 54.67, 50.39, 40.02, 41.49, 41.90, 45.50),
    *(37.32, 33.09, 37.79),
]
MACD_CONVERGED = 150  # closes after which TA-Lib, which seeds both averages at the same bar, agrees


def closes_of(prices: list[float]) -> list[Decimal]:
    return [Decimal(f"{price:.2f}") for price in prices]


def random_walk(length: int, seed: int) -> list[Decimal]:
    chance, price, found = random.Random(seed), 60_000.0, []
    for _ in range(length):
        price *= math.exp(chance.gauss(0, 0.004))
        found.append(price)
    return closes_of(found)


def assert_equals_talib(closes: list[Decimal]) -> None:
    values = list(compute(closes))
    prices = np.array([float(close) for close in closes])
    upper, middle, lower = talib.BBANDS(prices, 20, 2, 2, 0)
    macd, line, histogram = talib.MACD(prices, 12, 26, 9)
    oracle = {
        "rsi": (talib.RSI(prices, 14), 0.005, 0),
        "ema_12": (talib.EMA(prices, 12), 0.005, 0),
        "ema_26": (talib.EMA(prices, 26), 0.005, 0),
        "bb_upper": (upper, 0.005, 0),
        "bb_middle": (middle, 0.005, 0),
        "bb_lower": (lower, 0.005, 0),
        "macd": (macd, 0.00005, MACD_CONVERGED),
        "macd_signal": (line, 0.00005, MACD_CONVERGED),
        "macd_histogram": (histogram, 0.00005, MACD_CONVERGED),
    }
    for name, (expected, half_a_digit, begin) in oracle.items():
        for at in range(begin, len(closes)):
            ours = getattr(values[at], name)
            if math.isnan(expected[at]):
                # TA-Lib holds MACD back until its signal line is there.
                assert ours is None or (name == "macd" and at < WARM_AFTER), (name, at)
            else:
                assert abs(float(ours) - expected[at]) <= half_a_digit + 1e-7, (name, at, ours, expected[at])


def test_a_generated_series_equals_talib():
    assert_equals_talib(random_walk(3000, seed=11))


def test_the_made_up_market_equals_talib():
    assert_equals_talib([made_up(BEGIN + STEP * number).price_usd for number in range(2000)])


def test_the_published_series_equals_talib_and_its_published_rsi():
    closes = [Decimal(text) for text in PUBLISHED]
    assert_equals_talib(closes)
    ours = [values.rsi for values in compute(closes)]
    assert ours[:14] == [None] * 14
    # The published column comes of closes with four decimals.
    for value, published in zip(ours[14:], PUBLISHED_RSI, strict=True):
        assert abs(float(value) - published) < 0.2


def test_wilders_rsi_by_hand():
    # Seven changes of +2 and seven of -1: means 1 and 0.5, RSI = 100 - 100 / (1 + 2).
    closes = [Decimal(100)]
    for change in (2, -1) * 7:
        closes.append(closes[-1] + change)
    # Then +3: means (13 * 1 + 3) / 14 and 13 * 0.5 / 14; RS = 16 / 6.5.
    closes.append(closes[-1] + 3)
    values = list(compute(closes))
    assert values[13].rsi is None
    assert values[14].rsi == Decimal("66.67")
    assert values[15].rsi == Decimal("71.11")


def test_averages_and_bands_by_hand():
    # 1 to 20: mean 10.5, population deviation sqrt((20^2 - 1) / 12) = 5.7663.
    values = list(compute([Decimal(number) for number in range(1, 36)]))
    assert values[18].bb_middle is None
    assert (values[19].bb_lower, values[19].bb_middle, values[19].bb_upper) == tuple(
        map(Decimal, ("-1.03", "10.50", "22.03"))
    )
    # The first EMA is the mean of its window; on a line it then stays 5.5 and 12.5 behind.
    assert (values[10].ema_12, values[11].ema_12, values[12].ema_12) == (None, Decimal("6.50"), Decimal("7.50"))
    assert (values[24].ema_26, values[25].ema_26, values[26].ema_26) == (None, Decimal("13.50"), Decimal("14.50"))
    assert (values[24].macd, values[25].macd) == (None, Decimal("7.0000"))
    assert (values[32].macd_signal, values[33].macd_signal) == (None, Decimal("7.0000"))
    assert values[33].macd_histogram == 0
    assert values[33].rsi == 100


def test_a_price_that_does_not_move_is_neutral():
    last = list(compute([Decimal("50000.00")] * 60))[-1]
    assert (last.rsi, last.macd_histogram, last.bb_lower, last.bb_upper) == (50, 0, 50000, 50000)
    assert last.signal is Signal.NEUTRAL


def values_with(*, rsi: str, histogram: str, lower: str = "90", upper: str = "110") -> Values:
    numbers = map(Decimal, (rsi, "0", "0", histogram, upper, "100", lower, "100", "100"))
    return Values(*numbers)


@pytest.mark.parametrize(
    ("rsi", "histogram", "close", "signal"),
    [
        ("29.99", "0.0001", "100", Signal.BUY),
        ("29.99", "-1", "89.99", Signal.BUY),
        ("50", "1", "89.99", Signal.BUY),
        ("29.99", "-1", "100", Signal.NEUTRAL),
        ("30", "1", "90", Signal.NEUTRAL),
        ("70.01", "-0.0001", "100", Signal.SELL),
        ("70.01", "1", "110.01", Signal.SELL),
        ("50", "-1", "110.01", Signal.SELL),
        ("70", "-1", "110", Signal.NEUTRAL),
        ("29.99", "0", "110.01", Signal.NEUTRAL),
    ],
)
def test_the_majority_of_three_votes(rsi, histogram, close, signal):
    assert vote(values_with(rsi=rsi, histogram=histogram), Decimal(close)) is signal


def test_nothing_is_known_until_its_window_is_full():
    values = list(compute(random_walk(40, seed=2)))
    first = {
        name: next(at for at, one in enumerate(values, start=1) if getattr(one, name) is not None)
        for name in Values._fields
    }
    assert first == {
        "ema_12": 12,
        "rsi": 15,
        **dict.fromkeys(("bb_upper", "bb_middle", "bb_lower"), 20),
        **dict.fromkeys(("ema_26", "macd"), 26),
        **dict.fromkeys(("macd_signal", "macd_histogram", "signal"), WARM_AFTER),
    }


prices = st.lists(
    st.decimals(min_value="0.01", max_value="9999999999.99", places=2, allow_nan=False, allow_infinity=False),
    min_size=1,
    max_size=90,
)


@settings(deadline=None, max_examples=60)
@given(prices)
def test_rsi_stays_within_0_and_100_and_the_bands_in_order(closes):
    for values in compute(closes):
        assert values.rsi is None or 0 <= values.rsi <= 100
        assert values.bb_middle is None or values.bb_lower <= values.bb_middle <= values.bb_upper


@settings(deadline=None, max_examples=60)
@given(prices, st.data())
def test_cutting_off_the_future_never_changes_the_past(closes, data):
    cut = data.draw(st.integers(0, len(closes)))
    assert list(compute(closes[:cut])) == list(compute(closes))[:cut]


@settings(deadline=None, max_examples=60)
@given(prices, st.data())
def test_a_resumed_run_equals_the_whole_to_the_last_digit(closes, data):
    cut = data.draw(st.integers(0, len(closes)))
    run = Run()
    for close in closes[:cut]:
        run.add(close)
    resumed = Run.resume(run.length, closes[:cut][-TAIL:], run.state)
    rest = [(resumed.add(close), resumed.state) for close in closes[cut:]]
    assert rest == [(run.add(close), run.state) for close in closes[cut:]]


def test_long_runs_forget_old_closes_and_stay_exact():
    closes = random_walk(5000, seed=5)
    whole, run, states = list(compute(closes)), Run(), []
    for at, close in enumerate(closes):
        if at % 7 == 0:
            run = Run.resume(run.length, closes[max(0, at - TAIL) : at], run.state)
        assert run.add(close) == whole[at]
        states.append(run.state)
    assert len(run._fast.input_values) < 3000
    assert all(before != after for before, after in pairwise(states[TAIL:]))


def test_a_run_cannot_go_on_from_too_little():
    with pytest.raises(ValueError, match="compute it anew"):
        Run.resume(100, [Decimal(1)] * 39, (1.0,) * 6)
    with pytest.raises(ValueError, match="compute it anew"):
        Run.resume(100, [Decimal(1)] * TAIL, None)
