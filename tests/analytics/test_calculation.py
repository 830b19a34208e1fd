"""Stored indicators: incremental equals anew to the last digit, gaps begin anew, and never in silence."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from analytics.calculation import NAMES, calculate_indicators
from analytics.figures import figures
from analytics.history import store_history
from analytics.indicators import MAX_MISSING, WARM_AFTER, compute
from analytics.models import BUCKET, MarketSnapshot, Origin, TechnicalIndicator

pytestmark = pytest.mark.django_db
START = datetime(2025, 1, 1, tzinfo=UTC)


def prices(count: int, seed: int = 1) -> list[Decimal]:
    chance, price, found = random.Random(seed), 90_000.0, []
    for _ in range(count):
        price *= 1 + chance.gauss(0, 0.004)
        found.append(Decimal(f"{price:.2f}"))
    return found


def store(closes: dict[int, Decimal], origin: Origin = Origin.IMPORTED) -> None:
    """Closes by the number of their quarter of an hour."""
    store_history(((START + BUCKET * at, figures(btc_price=close)) for at, close in closes.items()), origin)


def stored() -> dict[int, tuple]:
    rows = TechnicalIndicator.objects.order_by("analytics__bucket").values_list("analytics__bucket", *NAMES)
    return {(row[0] - START) // BUCKET: row[1:] for row in rows}


def column(name: str) -> dict[int, object]:
    return {at: row[NAMES.index(name)] for at, row in stored().items()}


def test_stored_values_are_those_of_the_pure_functions():
    closes = prices(120)
    store(dict(enumerate(closes)))
    assert calculate_indicators().computed == 120
    pure = list(compute(closes))
    for at, row in stored().items():
        named = dict(zip(NAMES, row, strict=True))
        assert (named["rsi"], named["macd"], named["bb_upper"]) == (pure[at].rsi, pure[at].macd, pure[at].bb_upper)
        assert named["signal"] == (pure[at].signal and pure[at].signal.value)
        assert named["run_length"] == at + 1
    assert calculate_indicators().computed == 0


@settings(deadline=None, max_examples=12)
@given(st.data())
def test_incremental_equals_anew_to_the_last_digit_whatever_the_order(data):
    MarketSnapshot.objects.all().delete()
    closes = prices(110, seed=data.draw(st.integers(0, 9)))
    gaps = data.draw(st.sets(st.integers(0, 109), max_size=12))
    left_out = data.draw(st.integers(0, 100))
    known = {at: close for at, close in enumerate(closes) if at not in gaps and not left_out <= at < left_out + 6}
    order = sorted(known)
    late = data.draw(st.sets(st.sampled_from(order), max_size=5))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=4)) | {len(order)})
    begin = 0
    for cut in cuts:  # in parts, with some prices that come late
        store({at: known[at] for at in order[begin:cut] if at not in late})
        calculate_indicators()
        begin = cut
    store({at: known[at] for at in late})
    calculate_indicators()
    in_parts = stored()
    TechnicalIndicator.objects.all().delete()
    calculate_indicators()
    assert stored() == in_parts
    assert calculate_indicators(START).changed == 0


def test_a_range_can_be_computed_again_and_a_tampered_value_is_put_right():
    store(dict(enumerate(prices(150))))
    calculate_indicators()
    before = stored()
    TechnicalIndicator.objects.filter(run_length=100).update(rsi=1)
    done = calculate_indicators(START + 90 * BUCKET, START + 110 * BUCKET)
    assert (done.computed, done.changed) == (20, 1)
    assert stored() == before


def test_what_follows_a_changed_range_is_due_again():
    store(dict(enumerate(prices(150))))
    calculate_indicators()
    MarketSnapshot.objects.filter(bucket=START + 50 * BUCKET).update(btc_price=1)  # behind the back of everything
    calculate_indicators(START + 45 * BUCKET, START + 60 * BUCKET)
    assert len(stored()) == 60
    calculate_indicators()
    in_parts = stored()
    TechnicalIndicator.objects.all().delete()
    calculate_indicators()
    assert stored() == in_parts


def test_a_short_gap_is_on_record_and_a_long_one_begins_anew():
    closes = dict(enumerate(prices(120)))
    short = {at: close for at, close in closes.items() if not 50 <= at < 50 + MAX_MISSING}
    store(short)
    calculate_indicators()
    assert column("missing_before")[50 + MAX_MISSING] == MAX_MISSING
    assert column("run_length")[119] == len(short)
    assert set(column("run_started_at").values()) == {START}
    MarketSnapshot.objects.filter(bucket=START + 49 * BUCKET).delete()
    calculate_indicators(START)
    first = 50 + MAX_MISSING
    assert column("missing_before")[first] == MAX_MISSING + 1
    assert column("run_length")[first] == 1
    assert column("run_started_at")[first] == START + first * BUCKET
    signals = column("signal")
    assert all(signals[at] is None for at in range(first, first + WARM_AFTER - 1))
    assert signals[first + WARM_AFTER - 1] is not None
    assert column("rsi")[first] is None
    # The second run is as if nothing had been before it.
    anew = list(compute([closes[at] for at in range(first, 120)]))
    assert column("macd")[119] == anew[-1].macd


def test_made_up_prices_and_real_ones_never_share_a_run():
    closes = prices(20)
    store(dict(enumerate(closes[:10])), Origin.GENERATED)
    store({at: closes[at] for at in range(10, 20)})
    calculate_indicators()
    assert column("run_length") == {at: at % 10 + 1 for at in range(20)}


def test_the_state_survives_the_database_exactly():
    store(dict(enumerate(prices(300))))
    calculate_indicators(until=START + 137 * BUCKET)
    assert len(stored()) == 137
    calculate_indicators()
    states = column("state")
    TechnicalIndicator.objects.all().delete()
    calculate_indicators()
    assert column("state") == states
    assert states[39] is None
    assert len(states[299]) == 6


def test_a_year_is_computed_in_one_pass_and_a_new_close_costs_little(django_assert_max_num_queries):
    store(dict(enumerate(prices(500))))
    calculate_indicators()
    store({500: Decimal(90_000)})
    with django_assert_max_num_queries(14):
        assert calculate_indicators().computed == 1
    assert column("run_length")[500] == 501
    assert timedelta(minutes=15) == BUCKET
