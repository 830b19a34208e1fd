"""What each kind of rule wants, and that the dwell between wish and act never flaps."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from curtailment.triggers import power_cap, price, schedule, signals, temperature
from curtailment.triggers.dwell import step, window_of
from curtailment.triggers.signals import FailSafe, Kind, Told
from curtailment.triggers.wishes import Act, BadSettings, Limits, Memory, Want, Wish

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")


def limits(**minutes: int) -> Limits:
    given = {"min_on": 0, "min_off": 0, "cool_down": 0, "longest": 240} | minutes
    counts = {name: given.pop(name, default) for name, default in (("windows_above", 2), ("windows_below", 4))}
    return Limits(window=5 * MINUTE, **counts, **{name: value * MINUTE for name, value in given.items()})


def run(wishes: list[Wish], rules: Limits, *, every: timedelta = 5 * MINUTE) -> list[tuple[datetime, Act]]:
    memory, done = Memory(), []
    for count, wish in enumerate(wishes):
        now = NOON + count * every
        memory, decision = step(memory, wish, rules, now)
        if decision.act in {Act.START, Act.STOP}:
            done.append((now, decision.act))
    return done


HIGH, LOW = Wish(Want.CURTAIL, "high"), Wish(Want.RELEASE, "low")
NEAR, NONE = Wish(Want.KEEP, "near"), Wish(Want.UNKNOWN, "nobody knows")


# --- the dwell --------------------------------------------------------------------------------------------------------


def test_two_windows_above_start_and_four_below_end():
    assert run([HIGH, HIGH, HIGH, LOW, LOW, LOW, LOW], limits()) == [
        (NOON + 5 * MINUTE, Act.START),
        (NOON + 30 * MINUTE, Act.STOP),
    ]


def test_a_window_counts_once_however_often_it_is_looked_at():
    assert run([HIGH] * 5, limits(), every=MINUTE) == []
    assert run([HIGH] * 6, limits(), every=MINUTE) == [(NOON + 5 * MINUTE, Act.START)]


def test_one_window_between_begins_the_counting_anew():
    assert run([HIGH, NEAR, HIGH, LOW, HIGH], limits()) == []


def test_a_pause_of_the_platform_begins_the_counting_anew():
    assert run([HIGH, HIGH], limits(), every=20 * MINUTE) == []


def test_what_nobody_knows_neither_starts_nor_ends():
    assert run([NONE] * 20, limits()) == []
    assert run([HIGH, HIGH, *[NONE] * 20], limits()) == [(NOON + 5 * MINUTE, Act.START)]


def test_an_emergency_does_not_wait_for_windows():
    assert run([Wish(Want.CURTAIL, "emergency", at_once=True)], limits()) == [(NOON, Act.START)]


def test_the_longest_time_ends_it_and_a_rest_follows():
    done = run([HIGH] * 40, limits(longest=60, cool_down=45, min_off=10))
    assert done[:3] == [
        (NOON + 5 * MINUTE, Act.START),
        (NOON + 65 * MINUTE, Act.STOP),
        (NOON + 110 * MINUTE, Act.START),
    ]


@given(
    wishes=st.lists(
        st.sampled_from(
            [HIGH, LOW, NEAR, NONE, Wish(Want.CURTAIL, "!", at_once=True), Wish(Want.RELEASE, "!", at_once=True)]
        ),
        max_size=120,
    ),
    gaps=st.lists(st.integers(1, 30), min_size=120, max_size=120),
    min_on=st.integers(0, 60),
    min_off=st.integers(0, 60),
    more=st.integers(0, 120),
)
def test_it_never_flaps_faster_than_its_least_times(wishes, gaps, min_on, min_off, more):
    rules = limits(min_on=min_on, min_off=min_off, longest=max(5, min_on + more), cool_down=20)
    memory, now, done = Memory(), NOON, []
    for wish, gap in zip(wishes, gaps, strict=False):
        before = memory
        memory, decision = step(memory, wish, rules, now)
        if decision.act in {Act.START, Act.STOP}:
            done.append((now, decision.act))
        if before.active_since is not None:
            assert now - before.active_since < rules.longest or decision.act == Act.STOP
        assert memory.active == (bool(done) and done[-1][1] == Act.START)
        now += gap * MINUTE
    for (earlier, act), (later, other) in pairwise(done):
        assert act != other
        assert later - earlier >= (rules.min_on if act == Act.START else rules.min_off)


# --- price ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "want", "at_once"),
    [
        ("69.44", Want.KEEP, False),
        ("71.52", Want.KEEP, False),
        ("71.53", Want.CURTAIL, False),
        ("67.35", Want.RELEASE, False),
        ("151", Want.CURTAIL, True),
    ],
)
def test_the_price_is_held_against_break_even(told, want, at_once):
    settings = price.parse({"emergency": 150})
    wish = price.wish(settings, price=Decimal(told), break_even=Decimal("69.44"))
    assert (wish.want, wish.at_once) == (want, at_once)


def test_a_strike_below_zero_has_its_band_the_right_way_round():
    settings = price.parse({"strike": -20, "hysteresis_percent": 10})
    assert price.wish(settings, price=Decimal(-17), break_even=None).want == Want.CURTAIL
    assert price.wish(settings, price=Decimal(-20), break_even=None).want == Want.KEEP
    assert price.wish(settings, price=Decimal(-23), break_even=None).want == Want.RELEASE


def test_without_a_price_or_a_hashprice_nobody_knows():
    assert price.wish(price.parse({}), price=None, break_even=Decimal(50)).want == Want.UNKNOWN
    assert price.wish(price.parse({}), price=Decimal(90), break_even=None).want == Want.UNKNOWN


@pytest.mark.parametrize(
    ("parse", "given", "field"),
    [
        (price.parse, {"hysteresis_percent": "much"}, "hysteresis_percent"),
        (price.parse, {"windows_above": 1.5}, "windows_above"),
        (price.parse, {"windows_above": True}, "windows_above"),
        (price.parse, {"emergency": "NaN"}, "emergency"),
        (price.parse, {"strikes": 5}, "strikes"),
        (power_cap.parse, {}, "cap_kw"),
        (power_cap.parse, {"cap_kw": []}, "cap_kw"),
        (price.parse, {"emergency": {}}, "emergency"),
        (schedule.parse, {"from": "16:00", "to": "19:00", "first": []}, "first"),
        (temperature.parse, {}, "above_c"),
        (schedule.parse, {"days": ["someday"], "from": "16:00", "to": "19:00"}, "days"),
        (schedule.parse, {"from": "25:00", "to": "19:00"}, "from"),
        (schedule.parse, {"from": "16:00", "to": "16:00"}, "to"),
        (schedule.parse, {"from": "16:00", "to": "19:00", "first": "2027-02-01", "last": "2027-01-01"}, "last"),
        (signals.parse, {"mw": 5}, "mw"),
    ],
)
def test_settings_that_cannot_be_are_named(parse, given, field):
    with pytest.raises(BadSettings) as refused:
        parse(given)
    assert refused.value.field == field


# --- schedule ---------------------------------------------------------------------------------------------------------


def stretch(settings: dict, near: datetime, zone: ZoneInfo = NEW_YORK) -> tuple[datetime, datetime]:
    found = schedule.next_occurrence(schedule.parse(settings), zone, near)
    return found.starts_at, found.ends_at


def test_a_schedule_follows_the_clock_of_the_site():
    begins, ends = stretch({"days": ["tue"], "from": "16:00", "to": "19:00"}, NOON)
    assert (begins, ends) == (datetime(2026, 11, 24, 21, tzinfo=UTC), datetime(2026, 11, 25, 0, tzinfo=UTC))


def test_a_stretch_past_midnight_belongs_to_the_day_on_which_it_begins():
    settings = schedule.parse({"days": ["mon"], "from": "22:00", "to": "02:00"})
    at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)  # Tuesday, 01:30 in New York
    assert schedule.occurrence_at(settings, NEW_YORK, at).ends_at == datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert schedule.occurrence_at(settings, NEW_YORK, at + timedelta(days=1)) is None


def test_a_time_that_the_clock_skips_moves_forward():
    # 2027-03-14: from 02:00 to 03:00 there is nothing.
    begins, ends = stretch(
        {"from": "02:30", "to": "04:00", "first": "2027-03-14"}, datetime(2027, 3, 13, 20, tzinfo=UTC)
    )
    assert (begins, ends) == (datetime(2027, 3, 14, 7, tzinfo=UTC), datetime(2027, 3, 14, 8, tzinfo=UTC))


def test_a_stretch_inside_the_gap_does_not_happen():
    near = datetime(2027, 3, 13, 20, tzinfo=UTC)
    begins, _ = stretch({"from": "02:10", "to": "02:50", "first": "2027-03-14"}, near)
    assert begins.date().isoformat() == "2027-03-15"


def test_the_hour_that_comes_twice_counts_once():
    # 2026-11-01: 01:00 to 02:00 comes twice; its first showing is at 05:00 UTC.
    near = datetime(2026, 10, 31, 20, tzinfo=UTC)
    begins, ends = stretch({"from": "01:00", "to": "01:30", "first": "2026-11-01"}, near)
    assert (begins, ends) == (datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
    at = datetime(2026, 11, 1, 6, 15, tzinfo=UTC)  # the second 01:15
    assert schedule.occurrence_at(schedule.parse({"from": "01:00", "to": "01:30"}), NEW_YORK, at) is None


@given(day=st.dates(min_value=date(2026, 1, 1), max_value=date(2027, 12, 31)), at=st.times())
def test_every_time_of_the_clock_has_one_moment_that_shows_it_or_the_end_of_its_gap(day, at):
    for zone in (NEW_YORK, ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")):
        asked = at.replace(second=0, microsecond=0)
        moment = schedule.local_moment(day, asked, zone)
        shown = moment.astimezone(zone).replace(tzinfo=None)
        given_time = datetime.combine(day, asked)
        assert shown == given_time or (
            timedelta(0) < shown - given_time <= timedelta(hours=1)
            and (moment - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None) < given_time
        )


# --- the site's own limits --------------------------------------------------------------------------------------------


def test_a_cap_asks_for_the_excess_and_is_not_fooled_by_its_own_relief():
    settings = power_cap.parse({"cap_kw": 2000, "margin_percent": 5})
    over = power_cap.wish(settings, drawn_kw=Decimal(2300))
    assert (over.want, over.mw) == (Want.CURTAIL, Decimal("0.3"))
    assert power_cap.wish(settings, drawn_kw=Decimal(1990), held_back_kw=Decimal(310)).want == Want.KEEP
    assert power_cap.wish(settings, drawn_kw=Decimal(1500), held_back_kw=Decimal(310)).want == Want.RELEASE
    more = power_cap.wish(settings, drawn_kw=Decimal(2100), held_back_kw=Decimal(310))
    assert more.mw == Decimal("0.41")
    assert power_cap.wish(settings, drawn_kw=None).want == Want.UNKNOWN


def test_inlets_need_enough_machines_that_report_them():
    settings = temperature.parse({"above_c": 35, "machines": 3})
    assert temperature.wish(settings, inlet_c=Decimal(36), machines=3).want == Want.CURTAIL
    assert temperature.wish(settings, inlet_c=Decimal(34), machines=3).want == Want.KEEP
    assert temperature.wish(settings, inlet_c=Decimal("32.9"), machines=3).want == Want.RELEASE
    assert temperature.wish(settings, inlet_c=Decimal(36), machines=2).want == Want.UNKNOWN


# --- signals ----------------------------------------------------------------------------------------------------------


def told(kind: Kind, event: str = "", after: int = 0, **more) -> Told:
    at = NOON + after * MINUTE
    return Told(kind, event, at, more.pop("starts_at", at), more.pop("ends_at", None), **more)


def test_the_newest_word_on_an_event_counts():
    asked = [told(Kind.START, "e", mw=Decimal(1)), told(Kind.START, "e", 1, mw=Decimal("0.5"))]
    assert signals.demand(asked, NOON + 5 * MINUTE).mw == Decimal("0.5")
    assert signals.demand([*asked, told(Kind.STOP, "e", 2)], NOON + 5 * MINUTE) is None


def test_of_two_events_the_larger_counts_and_a_stop_without_name_ends_all():
    asked = [told(Kind.START, "a", mw=Decimal(1)), told(Kind.START, "b", mw=Decimal(2))]
    assert signals.demand(asked, NOON + MINUTE).event == "b"
    assert signals.demand([*asked, told(Kind.STOP, "b", 1)], NOON + 2 * MINUTE).event == "a"
    assert signals.demand([*asked, told(Kind.STOP, "", 1)], NOON + 2 * MINUTE) is None


def test_an_event_counts_in_its_own_time_and_level_zero_is_none():
    later = told(Kind.START, starts_at=NOON + 10 * MINUTE, ends_at=NOON + 20 * MINUTE)
    assert signals.demand([later], NOON + 9 * MINUTE) is None
    assert signals.demand([later], NOON + 10 * MINUTE) is later
    assert signals.demand([later], NOON + 20 * MINUTE) is None
    assert signals.demand([told(Kind.LEVEL, level=Decimal(0))], NOON) is None
    assert signals.demand([told(Kind.LEVEL, level=Decimal(2))], NOON) is not None


@pytest.mark.parametrize(
    ("fail_safe", "want"),
    [(FailSafe.HOLD, Want.UNKNOWN), (FailSafe.RESTORE, Want.RELEASE), (FailSafe.CURTAIL, Want.CURTAIL)],
)
def test_a_silent_source_leaves_the_fail_safe_and_a_person_goes_before_it(fail_safe, want):
    silent = timedelta(seconds=300)
    assert signals.wish(told(Kind.START), silent_for=silent, fail_safe=fail_safe).want == want
    overridden = signals.wish(None, silent_for=silent, fail_safe=fail_safe, override=FailSafe.RESTORE)
    assert overridden.want == Want.RELEASE


def test_windows_begin_at_full_fives():
    assert window_of(NOON + timedelta(minutes=7, seconds=3), 5 * MINUTE) == NOON + 5 * MINUTE
