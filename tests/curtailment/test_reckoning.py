"""The arithmetic of settlements: sums agree to the last digit, unknown is not zero, prices hold in their own time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given, strategies as st

from curtailment.reckoning import (
    SIX,
    Measured,
    Off,
    Slot,
    by_client,
    coverage,
    currencies,
    intervals,
    line,
    seconds_to,
    slots,
    split,
    total,
    without,
)

T0 = datetime(2026, 11, 23, 8, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
A, B = UUID(int=1), UUID(int=2)


def off(miner=1, client=A, since=0, until=60, watts="3250"):
    return Off(miner, client, T0 + since * MINUTE, T0 + until * MINUTE, Decimal(watts))


amounts = st.decimals(0, 10**9, places=4)
prices = st.one_of(st.none(), st.decimals(-1, 5, places=6))
measured = st.builds(
    Measured, known_s=st.decimals(0, 3600, places=2), avoided_ws=amounts, forgone_ths_s=st.none() | amounts
)
cut = st.builds(Slot, st.just(T0), prices, st.just("USD"), st.one_of(st.none(), st.decimals(0, 200, places=6)))
parts = st.lists(st.tuples(cut, measured), max_size=6)
machines = st.lists(st.tuples(st.integers(1, 5), st.sampled_from([A, B, None]), st.sampled_from(["USD", "EUR"]), parts))


@given(machines)
def test_customers_are_the_sum_of_machines_and_the_plan_that_of_customers(found):
    lines = [line(off(miner, client), currency, one) for miner, client, currency, one in found]
    shares = by_client(lines)
    assert {(share.client, share.currency) for share in shares} == {(one.off.client, one.currency) for one in lines}
    for name in ("kwh_avoided", "saved", "forgone_usd", "unpriced_kwh"):
        whole = total(getattr(one, name) for one in lines)
        assert total(getattr(share, name) for share in shares) == whole
        assert whole is None or whole == whole.quantize(SIX)


@given(parts)
def test_nothing_that_was_not_measured_is_told_as_zero(found):
    one = line(off(), "USD", found)
    assert (one.kwh_avoided is None) == (one.known_s == 0)
    if all(slot.price_per_kwh is None for slot, _ in found):
        assert one.saved is None
    assert abs(one.unpriced_kwh) <= (one.kwh_avoided or one.unpriced_kwh) + SIX


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=6), st.integers(0, 100), st.integers(1, 100)
)
def test_what_is_left_of_a_stretch_and_what_was_taken_do_not_overlap(taken, start, length):
    begin, end = T0 + start * MINUTE, T0 + (start + length) * MINUTE
    others = [(T0 + since * MINUTE, T0 + (since + lasts) * MINUTE) for since, lasts in taken]
    free = without(begin, end, others)
    counted = [
        any(since <= begin + at * MINUTE < until for since, until in others)
        + any(since <= begin + at * MINUTE < until for since, until in free)
        for at in range(length)
    ]
    assert counted == [1] * length
    assert all(
        not (since < other_until and other_since < until)
        for since, until in free
        for other_since, other_until in others
    )


def test_an_hour_by_hand():
    slot = Slot(T0, Decimal("0.10"), "USD", Decimal(50))
    one = line(off(), "USD", [(slot, Measured(Decimal(3600), Decimal(3220 * 3600), Decimal(110 * 3600)))])
    assert one.kwh_avoided == Decimal("3.220000")
    assert one.saved == Decimal("0.322000")
    assert one.forgone_usd == Decimal("0.229167")  # 110 TH/s at 50 $/PH/day: 5.5 $ a day
    unread = line(off(), "USD", [(slot, Measured(Decimal(3600), Decimal(3220 * 3600), None))])
    assert (unread.kwh_avoided, unread.forgone_usd) == (one.kwh_avoided, None)  # nobody knows what was forgone


def test_slots_are_cut_where_anything_changes_and_nowhere_else():
    found = slots(
        T0,
        T0 + 2 * HOUR,
        prices=[(T0 - HOUR, T0 + HOUR, Decimal("0.1"), "USD"), (T0 + HOUR, None, Decimal("0.2"), "EUR")],
        hashprices=[(T0 - HOUR, Decimal(50)), (T0 + 30 * MINUTE, Decimal(51)), (T0 + 45 * MINUTE, Decimal(51))],
        asked=(T0, T0 + 90 * MINUTE),
    )
    assert [(one.starts_at - T0) // MINUTE for one in found] == [0, 30, 60, 90]
    assert [one.hashprice_usd for one in found] == [50, 51, 51, 51]
    assert [one.asked for one in found] == [True, True, True, False]
    assert currencies(found, "USD") == [(T0, "USD"), (T0 + HOUR, "EUR")]


def test_an_old_hashprice_holds_for_a_day_at_most():
    found = slots(T0, T0 + 2 * HOUR, prices=[], hashprices=[(T0 - 23 * HOUR, Decimal(50))], asked=(T0, T0 + 2 * HOUR))
    assert [(one.starts_at, one.hashprice_usd) for one in found] == [(T0, 50), (T0 + HOUR, None)]


def test_a_stretch_is_split_by_currency():
    spans = [(T0, "USD"), (T0 + 30 * MINUTE, "EUR")]
    whole = off(since=-5, until=40)
    assert [(part.off_from, part.off_until, money) for part, money in split(whole, spans)] == [
        (T0 - 5 * MINUTE, T0 + 30 * MINUTE, "USD"),
        (T0 + 30 * MINUTE, T0 + 40 * MINUTE, "EUR"),
    ]


def test_intervals_tell_a_gap_from_nothing_to_deliver():
    minutes = {T0 + at * MINUTE: (Decimal(60), Decimal(60 * 3220)) for at in range(5)}
    found = intervals([off(until=10)], minutes, requested_w=Decimal(3250), asked=(T0, T0 + 12 * MINUTE))
    assert [one.delivered_kw for one in found] == [Decimal("3.22"), None, 0]
    assert [one.coverage for one in found] == [1, 0, 1]
    assert [one.requested_kw for one in found] == [Decimal("3.25"), Decimal("3.25"), Decimal("1.3")]


def test_seconds_to_each_share_count_measured_watts():
    stopped = [(T0 + timedelta(seconds=at), Decimal(1000)) for at in (90, 10, 30)]
    found = seconds_to((50, 95, 100), stopped, requested_w=Decimal(2500), since=T0)
    assert found == {50: 30, 95: 90, 100: 90}
    assert seconds_to((100,), stopped, requested_w=Decimal(3001), since=T0) == {100: None}


def test_coverage_of_no_time_is_whole():
    assert coverage(Decimal(0), Decimal(0)) == 1
    assert coverage(Decimal(90), Decimal(60)) == 1
    assert coverage(Decimal(20), Decimal(60)) == Decimal("0.333333")
