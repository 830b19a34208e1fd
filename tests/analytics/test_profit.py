"""Profit from the ledger: sums that agree to the last digit, hours that are not known, and whose they were."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from analytics.models import MarketSnapshot, Origin
from analytics.profit import PERIODS, Scope, TooMany, profit
from hosting.models import ElectricityPrice, Miner, MinerHour, Site
from hosting.prices import Span, set_price, write_prices
from minefarm.lib.rls import walled
from tests.analytics.ledger import HOUR, fill_ledger, fill_market

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")
MARCH = (
    datetime(2026, 3, 1, tzinfo=BERLIN).astimezone(UTC),
    datetime(2026, 4, 1, tzinfo=BERLIN).astimezone(UTC),
)  # 743 hours
DOLLARS = Decimal("0.00000001")


@pytest.fixture
def march(site, miner_a, miner_b, make_miner, client_a):
    """A daylight-saving month of three machines, two of them client_a's: gaps, hours read in part, prices by night and day."""
    Site.objects.filter(pk=site.pk).update(time_zone="Europe/Berlin")
    site.refresh_from_db()
    other = make_miner("A-0002", client=client_a, miner_model=None)
    fill_ledger([miner_a, miner_b, other], *MARCH)
    fill_market(*MARCH)
    begin, spans = MARCH[0], []
    for day in range(40):
        since = begin + timedelta(days=day)
        spans += [
            Span(since, since + 8 * HOUR, Decimal("0.031234")),
            Span(since + 8 * HOUR, since + timedelta(hours=17, minutes=20), Decimal("0.07")),
            Span(since + timedelta(hours=17, minutes=20), since + 24 * HOUR, Decimal("-0.002")),
        ]
    write_prices(site, spans)
    return site


def by_hand(hour: MinerHour, fee: Decimal = Decimal(0)) -> tuple[Decimal | None, Decimal | None]:
    """Revenue and cost of a machine's hour, computed without the query."""
    if hour.kwh is None:
        return None, None
    with localcontext() as context:
        context.prec = 60
        end = hour.starts_at + HOUR
        prices = [
            row.hashprice_usd_per_ph_day
            for row in MarketSnapshot.objects.filter(bucket__gte=hour.starts_at, bucket__lt=end)
            if row.hashprice_usd_per_ph_day is not None
        ]
        ths_h = hour.hashrate_ths_sum / hour.hashrate_samples * (hour.period_s - hour.gap_s) / 3600
        revenue = ths_h * (sum(prices) / len(prices)) / 24_000 * (1 - fee) if prices else None
        held = Decimal(0)
        for row in ElectricityPrice.objects.filter(
            site_id=hour.site_id, valid_from__lt=end, valid_until__gt=hour.starts_at
        ):
            seconds = (min(end, row.valid_until) - max(hour.starts_at, row.valid_from)) // timedelta(seconds=1)
            held += row.price_per_kwh * seconds
        cost = hour.kwh * held / 3600
        return (
            None if revenue is None else revenue.quantize(DOLLARS, ROUND_HALF_UP),
            cost.quantize(DOLLARS, ROUND_HALF_UP),
        )


def test_a_customers_month_is_the_sum_over_machines_and_hours_to_the_last_digit(march, client_a, miner_a):
    month = profit(Scope.of(client_a), *MARCH)[0]
    hours = profit(Scope.of(client_a), *MARCH, per="hour", by=["miner"])
    assert month.machine_hours == len(hours) == 2 * 743
    for figure in ("revenue_usd", "cost_usd", "profit_usd", "kwh", "ths_h"):
        known = [getattr(row, figure) for row in hours if getattr(row, figure) is not None]
        assert getattr(month, figure) == sum(known), figure
    days = profit(Scope.of(client_a), *MARCH, per="day", by=["site", "model"])
    assert month.profit_usd == sum(row.profit_usd for row in days)
    assert {row.model for row in days} == {"S19 Pro", None}
    lengths = [row.machine_hours for row in profit(Scope.of(client_a), *MARCH, per="day")]
    assert lengths == [46 if day == 29 else 48 for day in range(1, 32)]
    ledger = sum(row.kwh for row in MinerHour.objects.filter(client=client_a) if row.kwh is not None)
    assert month.kwh == ledger
    assert month.gap_hours == sum(1 for row in hours if row.profit_usd is None) > 0
    assert month.partial_hours > 0
    assert not month.complete
    assert "h not read" in month.note


def test_each_hour_is_as_computed_by_hand(march, settings):
    settings.POOL_FEE_PERCENT = 1.5
    start, end = datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 3, 29, 20, tzinfo=UTC)
    rows = {(row.miner_id, row.starts_at): row for row in profit(Scope(), start, end, per="hour", by=["miner"])}
    ledger = list(MinerHour.objects.filter(starts_at__gte=start, starts_at__lt=end))
    assert len(rows) == len(ledger) == 72
    for hour in ledger:
        row = rows[hour.miner_id, hour.starts_at]
        assert (row.revenue_usd, row.cost_usd) == by_hand(hour, Decimal("0.015"))


def test_sites_customers_models_and_machines_come_to_the_same(march):
    (whole,) = profit(Scope(), *MARCH)
    for by in (["site"], ["client"], ["model"], ["miner"], ["site", "client", "model", "miner"]):
        for per in PERIODS[1:]:
            assert sum(row.profit_usd for row in profit(Scope(), *MARCH, per=per, by=by)) == whole.profit_usd


def test_the_worked_example_of_an_s19_pro(site, miner_a):
    """110 TH/s at 45 $/PH/day earn 0.20625 $ in an hour; 3.25 kWh at 60 $/MWh cost 0.195 $."""
    start = datetime(2026, 5, 1, tzinfo=UTC)
    fill_ledger([miner_a], start, start + HOUR, kwh="3.25", ths="110", whole=True)
    fill_market(start, start + HOUR, hashprice="45")
    set_price(site, Decimal("0.06"), start)
    (row,) = profit(Scope(), start, start + HOUR)
    assert (row.revenue_usd, row.cost_usd, row.profit_usd) == (Decimal("0.20625"), Decimal("0.195"), Decimal("0.01125"))
    assert (row.complete, row.note) == (True, "")


def test_what_is_not_known_has_no_figure_and_is_counted(site, miner_a):
    start = datetime(2026, 5, 1, tzinfo=UTC)
    fill_ledger([miner_a], start, start + 6 * HOUR, kwh="3", ths="100", whole=True)
    MinerHour.objects.filter(starts_at=start).update(kwh=None, source="gap", gap_s=3600)
    fill_market(start, start + 5 * HOUR, hashprice="48")
    half = start + timedelta(hours=2, minutes=30)
    write_prices(
        site, [Span(start, half, Decimal("0.05")), Span(start + 3 * HOUR, start + 4 * HOUR, Decimal("0.05"), "EUR"),
               Span(start + 4 * HOUR, start + 6 * HOUR, Decimal("0.05"))]
    )  # fmt: skip
    hours = profit(Scope(), start, start + 6 * HOUR, per="hour")
    gap, whole, half_priced, euro, last, no_market = hours
    assert (gap.revenue_usd, gap.cost_usd, gap.profit_usd, gap.note) == (None, None, None, "1 h not read")
    assert (whole.revenue_usd, whole.cost_usd, whole.profit_usd) == (Decimal("0.2"), Decimal("0.15"), Decimal("0.05"))
    assert (half_priced.revenue_usd, half_priced.cost_usd, half_priced.profit_usd) == (Decimal("0.2"), None, None)
    assert half_priced.note == "1 h without a price of electricity"
    assert (euro.cost_usd, euro.profit_usd, euro.note) == (None, None, "1 h with prices in EUR: give USD prices")
    assert last.complete
    assert (no_market.revenue_usd, no_market.cost_usd, no_market.profit_usd) == (None, Decimal("0.15"), None)
    assert no_market.note == "1 h without a hashprice"
    (total,) = profit(Scope(), start, start + 6 * HOUR)
    assert (total.machine_hours, total.counted_hours, total.profit_usd) == (6, 2, Decimal("0.10"))
    assert (
        total.gap_hours,
        total.hours_without_price,
        total.hours_in_other_currency,
        total.hours_without_hashprice,
    ) == (1,) * 4
    assert profit(Scope(), start - 9 * HOUR, start - 8 * HOUR) == []


def test_a_sold_machines_past_stays_with_the_seller(site, miner_a, client_a, client_b):
    start = datetime(2026, 5, 1, tzinfo=UTC)
    fill_market(start, start + 4 * HOUR, hashprice="48")
    set_price(site, Decimal("0.05"), start)
    fill_ledger([miner_a], start, start + 2 * HOUR, kwh="3", ths="100", whole=True)
    Miner.objects.filter(pk=miner_a.pk).update(client=client_b)
    miner_a.refresh_from_db()
    fill_ledger([miner_a], start + 2 * HOUR, start + 3 * HOUR, kwh="3", ths="100", whole=True)
    of_a, of_b = (profit(Scope.of(client), start, start + 4 * HOUR, by=["client"]) for client in (client_a, client_b))
    assert [(row.client_id, row.machine_hours, row.profit_usd) for row in of_a] == [(client_a.pk, 2, Decimal("0.10"))]
    assert [(row.client_id, row.machine_hours, row.profit_usd) for row in of_b] == [(client_b.pk, 1, Decimal("0.05"))]


def test_behind_the_wall_a_customer_gets_the_same_and_no_price(march, client_a, client_b):
    outside = profit(Scope.of(client_a), *MARCH)
    with walled(client_a.pk):
        assert profit(Scope.of(client_a), *MARCH) == outside
    assert profit(Scope.of(client_b), *MARCH)[0].machine_hours == 743


def test_a_guest_has_no_profit_and_limited_staff_have_their_sites(march, guest, operator, make_miner):
    assert profit(Scope.of(guest), *MARCH) == []
    far = Site.objects.create(name="South")
    fill_ledger([make_miner("S-1", site=far)], MARCH[0], MARCH[0] + HOUR, whole=True)
    assert len(profit(Scope.of(operator), *MARCH, by=["site"])) == 2
    assert len(profit(Scope(site_ids={march.pk}), *MARCH, by=["site"])) == 1


def test_a_made_up_hashprice_is_said(march, client_a):
    MarketSnapshot.objects.update(origin=Origin.GENERATED)
    assert "made up for a demo" in profit(Scope.of(client_a), *MARCH)[0].note


def test_too_many_rows_and_unknown_words_are_refused(march):
    with pytest.raises(TooMany, match="shorter range"):
        profit(Scope(), *MARCH, per="hour", by=["miner"], limit=100)
    with pytest.raises(ValueError, match="Ask per"):
        profit(Scope(), *MARCH, per="week")


def test_it_reads_the_ledger_once(march, django_assert_num_queries):
    with django_assert_num_queries(1) as asked:
        profit(Scope(), *MARCH, per="day", by=["client"])
    assert asked.captured_queries[0]["sql"].count("miner_telemetry_hour") == 1
    assert "miner_telemetry " not in asked.captured_queries[0]["sql"]
    assert connection.vendor == "postgresql"
