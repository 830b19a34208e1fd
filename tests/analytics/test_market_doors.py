"""Page, chart, API and admin of the market: for everybody with an account, to look at."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from analytics.calculation import calculate_indicators
from analytics.figures import figures
from analytics.generated import floor
from analytics.history import seed_generated, store_history
from analytics.models import BUCKET, MarketSnapshot, Origin
from analytics.series import grid_of, market_chart

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def month():
    """Thirty made-up days up to now."""
    now = timezone.now()
    seed_generated(now, days=30)
    calculate_indicators()
    return now


@pytest.mark.parametrize("person", ["operator", "client_a", "guest"])
def test_everybody_sees_the_market_and_that_it_is_made_up(request, month, person):
    client = signed_in(request.getfixturevalue(person))
    page = client.get("/market/").content.decode()
    newest = MarketSnapshot.objects.newest()
    assert f"{newest.btc_price:,.2f}" in page
    assert f"{newest.hashprice_usd_per_ph_day:,.2f}" in page
    assert "made up for a demo" in page
    assert "data-market-stale" not in page
    assert newest.indicators.signal in page
    chart = client.get("/market/chart.json?hours=24").json()
    assert len(chart["t"]) == 96
    assert chart["btc_price"][-1] == float(newest.btc_price)


def test_who_was_asked_is_for_staff(operator, client_a):
    source = {"name": "kraken", "outcome": "ok", "latency_ms": 31, "price_usd": "100000.0", "detail": "inner words"}
    now = timezone.now()
    MarketSnapshot.objects.create(bucket=floor(now), created_at=now, btc_price=100_000, sources=[source])
    assert "kraken" in signed_in(operator).get("/market/").content.decode()
    assert "kraken" not in signed_in(client_a).get("/market/").content.decode()


def test_the_market_is_for_people_with_an_account():
    assert Client().get("/market/").status_code == 302
    assert Client().get("/api/v1/market/").status_code == 401


@pytest.mark.parametrize("hours", [1, 24, 168, 720, 8784, 20 * 8784])
def test_a_chart_has_at_most_500_points(month, hours):
    grid = grid_of(until=month, hours=hours)
    chart = market_chart(grid)
    assert 1 <= len(chart.t) <= 500
    assert chart.step_s >= 900
    assert all(len(line) == len(chart.t) for line in chart.lines.values())
    assert chart.lines["btc_price"][-1] == float(MarketSnapshot.objects.newest().btc_price)


def test_a_gap_is_a_gap_and_a_coarse_interval_shows_its_last_value(operator):
    start = datetime(2025, 1, 1, tzinfo=UTC)
    closes = {at: Decimal(100 + at) for at in range(40) if not 10 <= at < 20}
    store_history(((start + BUCKET * at, figures(btc_price=close)) for at, close in closes.items()), Origin.IMPORTED)
    calculate_indicators()
    chart = market_chart(grid_of(until=start + 39 * BUCKET, hours=10))
    assert chart.lines["btc_price"] == [float(closes[at]) if at in closes else None for at in range(40)]
    assert chart.lines["ema_12"][39] is not None
    assert chart.lines["network_difficulty"] == [None] * 40
    reply = signed_in(operator).get("/api/v1/market/?from=2025-01-01&to=2025-01-02&resolution=1h").json()
    found = {row["recorded_at"][11:13]: row["btc_price"] for row in reply["results"]}
    assert found == {
        f"{hour:02}": float(closes[max(at for at in closes if at // 4 == hour)]) for hour in (0, 1, 2, 5, 6, 7, 8, 9)
    }


def test_pages_of_the_api_hold_every_row_once(month, client_a):
    client = signed_in(client_a)
    for resource in ("market", "indicators"):
        url, times = f"/api/v1/{resource}/?page_size=300&from={month - timedelta(days=10):%Y-%m-%dT%H:%M:%SZ}", []
        while url:
            reply = client.get(url).json()
            times += [row["recorded_at"] for row in reply["results"]]
            url = reply["next"]
        assert times == sorted(set(times), reverse=True)
        assert len(times) in {960, 961}
    assert len(client.get("/api/v1/indicators/").json()["results"]) in {96, 97}


def test_a_coarse_page_goes_on_after_the_last_interval(month, client_a):
    client = signed_in(client_a)
    url, times = f"/api/v1/market/?resolution=6h&page_size=7&from={month - timedelta(days=20):%Y-%m-%d}", []
    while url:
        reply = client.get(url).json()
        times += [row["recorded_at"] for row in reply["results"]]
        url = reply["next"]
    assert times == sorted(set(times), reverse=True)
    assert len(times) >= 80


def test_numbers_of_the_api_are_numbers_and_unknown_is_null(client_a):
    now = timezone.now()
    MarketSnapshot.objects.create(bucket=floor(now), created_at=now, btc_price=Decimal("100000.50"))
    client = signed_in(client_a)
    (row,) = client.get("/api/v1/market/").json()["results"]
    assert row["btc_price"] == 100000.5
    assert row["network_difficulty"] is None
    assert row["hashprice_usd_per_ph_day"] is None
    latest = client.get("/api/v1/market/latest/").json()
    assert (latest["stale"], latest["btc_price"], latest["sources"]) == (False, 100000.5, [])
    old = now - timedelta(minutes=21)
    MarketSnapshot.objects.update(bucket=floor(old), created_at=old)
    latest = client.get("/api/v1/market/latest/").json()
    assert latest["stale"] is True
    assert latest["age_s"] >= 21 * 60


def test_without_a_price_the_latest_is_nothing(client_a):
    assert signed_in(client_a).get("/api/v1/market/latest/").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["resolution=1s", "from=2025-02-01&to=2025-01-01", "colour=red", "resolution=1h&from=2020-01-01", "cursor=x"],
)
def test_what_makes_no_sense_is_refused(client_a, query):
    assert signed_in(client_a).get(f"/api/v1/market/?{query}").status_code == 400


def test_the_admin_shows_and_changes_nothing(month, owner):
    client = signed_in(owner)
    newest = MarketSnapshot.objects.newest()
    for page in ("marketsnapshot", "technicalindicator"):
        assert client.get(f"/admin/analytics/{page}/").status_code == 200
        assert client.get(f"/admin/analytics/{page}/add/").status_code == 403
    assert client.get(f"/admin/analytics/marketsnapshot/{newest.pk}/change/").status_code == 200
    assert client.post(f"/admin/analytics/marketsnapshot/{newest.pk}/change/", {"btc_price": "1"}).status_code == 403
    assert client.get(f"/admin/analytics/technicalindicator/{newest.indicators.pk}/change/").status_code == 200
    assert MarketSnapshot.objects.newest().btc_price == newest.btc_price


def test_the_chart_is_json_for_the_strict_content_policy(month, client_a):
    reply = signed_in(client_a).get("/market/chart.json?hours=nonsense")
    assert reply["content-type"] == "application/json"
    assert json.loads(reply.content)["step_s"] == 900
