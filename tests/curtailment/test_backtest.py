"""Replaying a rule over stored prices: figures that can be reckoned by hand, and how long a month takes."""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from analytics.models import MarketSnapshot
from curtailment import arming
from curtailment.backtest import CannotTest, backtest, chart
from curtailment.models import CurtailmentRule
from curtailment.triggers.replay import WINDOW, Moment, Stretch, reckon
from hosting.models import ElectricityPrice

pytestmark = pytest.mark.django_db
START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICED = {"mw": Decimal(2), "efficiency_j_th": Decimal(30)}  # 69.44 $/MWh at 50 $/PH/day


@pytest.fixture
def rule(site, operator):
    return arming.make_rule(
        CurtailmentRule(
            site=site, name="dear power", kind="price", min_on_minutes=0, min_off_minutes=0, max_minutes=240
        ),
        by=operator,
    )


@pytest.fixture
def month(site, settings):
    """Thirty days with a hashprice of 50: power costs 40, from 17 to 20 o'clock UTC 200, and nobody knows the last day."""
    settings.POOL_FEE_PERCENT = 0
    MarketSnapshot.objects.bulk_create(
        MarketSnapshot(bucket=START + quarter * HOUR / 4, created_at=START, hashprice_usd_per_ph_day=Decimal(50))
        for quarter in range(30 * 96)
    )
    ElectricityPrice.objects.bulk_create(
        ElectricityPrice(
            site=site,
            price_per_kwh=Decimal("0.2") if 17 <= hour % 24 < 20 else Decimal("0.04"),
            valid_from=START + hour * HOUR,
            valid_until=START + (hour + 1) * HOUR,
        )
        for hour in range(29 * 24)
    )


def run(rule, days=1, **more):
    return backtest(rule, START, START + timedelta(days=days), now=START, **(PRICED | more))


def test_a_day_can_be_reckoned_by_hand(rule, month):
    found = run(rule)
    # Two windows above from 17:00, so off from 17:05; four below from 20:00, so on from 20:15.
    assert [(one.starts_at.strftime("%H:%M"), one.ends_at.strftime("%H:%M")) for one in found.stretches] == [
        ("17:05", "20:15")
    ]
    assert (found.events, found.hours, found.longest_h) == (1, Decimal("3.17"), Decimal("3.17"))
    break_even = Decimal(50) * 1000 / (24 * 30)
    avoided = Decimal(200) * 35 / 12 + Decimal(40) * 3 / 12
    forgone = break_even * (Decimal(38) / 12 + Decimal(10) / 60)
    assert float(found.avoided_usd) == pytest.approx(float(2 * avoided), abs=0.02)
    assert float(found.forgone_usd) == pytest.approx(float(2 * forgone), abs=0.02)
    assert float(found.saved_usd) == pytest.approx(float(2 * (avoided - forgone)), abs=0.02)
    assert float(found.perfect_usd) == pytest.approx(float(2 * 3 * (200 - break_even)), abs=0.02)
    assert 0.8 < found.share_of_perfect < 1


def test_a_day_without_prices_is_said_and_counts_for_nothing(rule, month):
    found = run(rule, days=30)
    assert found.known_share == pytest.approx(29 / 30, abs=0.001)
    assert found.events == 29
    assert found.saved_usd == pytest.approx(29 * run(rule).saved_usd, abs=Decimal("0.5"))


def test_a_month_takes_less_than_two_seconds(rule, month):
    begin = time.process_time()
    found = run(rule, days=30)
    assert found.windows == 8640
    assert time.process_time() - begin < 2


def test_a_schedule_is_tested_too(site, operator, month):
    rule = arming.make_rule(
        CurtailmentRule(
            site=site, name="evenings", kind="schedule", settings={"from": "17:00", "to": "20:00"}, min_on_minutes=0
        ),
        by=operator,
    )
    found = run(rule, days=7)
    assert (found.events, found.hours) == (7, Decimal("21.00"))


def test_what_is_drawn_is_thin_and_keeps_the_dearest(rule, month):
    found = run(rule, days=30)
    drawn = chart(found, rule.read_settings(), points=100)
    assert len(drawn["x"]) <= 100
    assert max(price for price in drawn["price"] if price is not None) == 200
    assert drawn["low"][0] < 50 * 1000 / 720 < drawn["high"][0]
    assert len(drawn["curtailed"]) == 29


@pytest.mark.parametrize("kind", ["power_cap", "temperature", "signal"])
def test_kinds_that_follow_no_price_are_run_dry_instead(site, kind):
    with pytest.raises(CannotTest, match="dry run"):
        backtest(CurtailmentRule(site=site, kind=kind), START, START + HOUR, now=START)


def test_without_machines_the_size_must_be_given(rule, month):
    with pytest.raises(CannotTest, match="--mw"):
        backtest(rule, START, START + HOUR, now=START)
    with pytest.raises(CannotTest, match="400 days"):
        run(rule, days=500)


def test_perfect_foresight_is_never_beaten():
    moments = [Moment(START + n * WINDOW, Decimal(p), Decimal(70)) for n, p in enumerate((20, 90, 300, 65, 10, 80))]
    for begin in range(6):
        for end in range(begin + 1, 7):
            stretch = Stretch(START + begin * WINDOW, START + end * WINDOW, "", "")
            money = reckon(moments, [stretch], restart_h=Decimal("0.1"))
            assert money.saved < money.perfect
            assert money.saved == money.avoided - money.forgone


def test_the_command_tells_it_and_counts_as_shown(rule, month):
    arguments = [
        "--from",
        "2026-06-01T00:00+00:00",
        "--to",
        "2026-06-08T00:00+00:00",
        "--mw",
        "2",
        "--efficiency",
        "30",
    ]
    told = StringIO()
    call_command("backtest_curtailment", str(rule.pk), *arguments, "--json", stdout=told)
    document = json.loads(told.getvalue())
    assert (document["events"], len(document["list"])) == (7, 7)
    rule.refresh_from_db()
    assert rule.tried_hash == rule.content_hash
    for wrong in (["no such rule", *arguments], [str(rule.pk), *arguments[:4], "--mw", "-2"]):
        with pytest.raises(CommandError, match=r"no rule|above 0"):
            call_command("backtest_curtailment", *wrong, stdout=told)
