"""Sources fail, lie and dawdle; the stored price is what the honest ones agree on, or there is none."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.test import Client

from analytics.collect import collect_market
from analytics.models import MarketSnapshot, TechnicalIndicator
from analytics.tasks import collect_market as tick
from events.models import OutboxEvent
from tests.analytics import sources
from tests.analytics.sources import Source, nobody

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 10, 7, tzinfo=UTC)


def outcomes(row: MarketSnapshot) -> dict[str, str]:
    return {source["name"]: source["outcome"] for source in row.sources}


def test_one_down_one_lying_one_slow_the_median_of_the_honest_is_stored_in_time(set_up):
    slow = sources.bitstamp("100300")
    slow.delay_s = 0.6
    set_up(
        coinbase=nobody(),
        kraken=sources.kraken("120000"),
        bitstamp=slow,
        gemini=sources.gemini("100000"),
        binance=sources.binance("100100.50"),
        mempool=sources.mempool(),
    )
    began = time.monotonic()
    collected = collect_market()
    assert time.monotonic() - began < 10
    assert collected.stored
    row = MarketSnapshot.objects.get()
    assert row.btc_price == Decimal("100100.50")
    assert outcomes(row) == {
        "coinbase": "unreachable",
        "kraken": "outlier",
        "bitstamp": "ok",
        "gemini": "ok",
        "binance": "ok",
        "mempool": "ok",
    }
    latency_ms = {source["name"]: source["latency_ms"] for source in row.sources}
    assert 600 <= latency_ms["bitstamp"] < 1500
    assert row.volume_24h == Decimal(500) * Decimal(100300) + 900000 + 7000000


def test_a_source_that_never_ends_is_cut_off_and_the_others_count(set_up):
    hanging, dripping = sources.bitstamp("99"), sources.gemini("99")
    hanging.delay_s, dripping.drip = 60, True
    set_up(bitstamp=hanging, gemini=dripping, coinbase=sources.coinbase("100"), kraken=sources.kraken("101"))
    began = time.monotonic()
    collect_market()
    assert time.monotonic() - began < 3
    row = MarketSnapshot.objects.get()
    assert row.btc_price == Decimal("100.50")
    assert outcomes(row) == {"coinbase": "ok", "kraken": "ok", "bitstamp": "timeout", "gemini": "timeout"}


def test_all_down_the_row_is_absent_the_event_is_published_once_and_the_page_says_stale(set_up, operator):
    set_up(coinbase=nobody(), kraken=nobody(), mempool=nobody())
    assert not collect_market().stored
    assert not collect_market().stored
    assert not MarketSnapshot.objects.exists()
    event = OutboxEvent.objects.get(event_type="market.stale")
    assert event.payload["last_price_at"] is None
    assert event.payload["sources"] == dict.fromkeys(("coinbase", "kraken", "mempool"), "unreachable")
    client = Client()
    client.force_login(operator)
    page = client.get("/market/").content.decode()
    assert "Stale: there is no price yet" in page


def test_a_second_outage_is_told_again_and_old_prices_are_called_stale(set_up, settings, client_a):
    set_up(coinbase=nobody(), kraken=nobody())
    collect_market()
    set_up(coinbase=sources.coinbase("100"), kraken=sources.kraken("100"))
    assert collect_market().stored
    client = Client()
    client.force_login(client_a)
    assert "data-market-stale" not in client.get("/market/").content.decode()
    row = MarketSnapshot.objects.get()
    earlier = timedelta(minutes=30)
    MarketSnapshot.objects.update(bucket=row.bucket - earlier, created_at=row.created_at - earlier)
    set_up(coinbase=nobody(), kraken=nobody())
    collect_market()
    collect_market()
    assert OutboxEvent.objects.filter(event_type="market.stale").count() == 2
    assert "Stale: the newest price is of" in client.get("/market/").content.decode()
    assert MarketSnapshot.objects.count() == 1


def test_two_that_disagree_give_no_price(set_up):
    set_up(coinbase=sources.coinbase("100000"), kraken=sources.kraken("103500"), mempool=sources.mempool())
    collect_market()
    row = MarketSnapshot.objects.get()
    assert row.btc_price is None
    assert row.hashprice_usd_per_ph_day is None
    assert row.network_difficulty == Decimal("1e14")
    assert outcomes(row) == {"coinbase": "outlier", "kraken": "outlier", "mempool": "ok"}
    assert OutboxEvent.objects.filter(event_type="market.stale").count() == 1


def test_one_left_of_three_is_no_price_but_the_only_one_set_up_is(set_up):
    set_up(coinbase=sources.coinbase("100000"), kraken=nobody(), gemini=nobody())
    collect_market()
    assert not MarketSnapshot.objects.exists()
    set_up(kraken="", gemini="")
    collect_market()
    assert MarketSnapshot.objects.get().btc_price == 100_000


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [
        (Source({}, status=500), "http_error"),
        (Source({"/products/BTC-USD/stats": {}}, status=429), "http_error"),
        (Source({"/products/BTC-USD/stats": {}}, status=302), "http_error"),
        (Source({"/products/BTC-USD/stats": {"message": "NotFound"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": {"last": "0", "volume": "1"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": {"last": "-5", "volume": "1"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": {"last": "1e999999", "volume": "1"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": {"last": True, "volume": "1"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": {"last": ["1"], "volume": "1"}}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": []}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": "1"}), "bad_reply"),
        (Source({"/products/BTC-USD/stats": 0}, raw=b"<html>maintenance</html>"), "bad_reply"),
        (Source({"/products/BTC-USD/stats": 0}, raw=b'{"last": NaN, "volume": 1}'), "bad_reply"),
        (Source({"/products/BTC-USD/stats": 0}, raw=b"[" * 100_000), "bad_reply"),
        (Source({"/products/BTC-USD/stats": 0}, raw=b" " * 300_000), "bad_reply"),
        (Source({"/products/BTC-USD/stats": 0}, raw=b'{"last": ' + b"9" * 5000 + b', "volume": 1}'), "bad_reply"),
    ],
)
def test_what_is_no_price_is_recorded_as_such(set_up, broken, outcome):
    set_up(coinbase=broken, kraken=sources.kraken("100"), gemini=sources.gemini("100"))
    collect_market()
    row = MarketSnapshot.objects.get()
    assert row.btc_price == 100
    assert outcomes(row)["coinbase"] == outcome


def test_plain_http_and_inner_addresses_are_for_listed_targets_alone(set_up, settings):
    honest = sources.coinbase("100")
    set_up(coinbase=honest, kraken=sources.kraken("100"), gemini=sources.gemini("100"))
    settings.MARKET_INNER_TARGETS = settings.MARKET_INNER_TARGETS[1:]
    collect_market()
    assert outcomes(MarketSnapshot.objects.get())["coinbase"] == "refused"
    assert honest.asked == []


def test_the_network_and_the_hashprice_that_follow(set_up):
    set_up(coinbase=sources.coinbase("100000"), kraken=sources.kraken("100000"), mempool=sources.mempool())
    collect_market()
    row = MarketSnapshot.objects.get()
    assert (row.network_difficulty, row.block_height, row.block_reward) == (10**14, 850_000, Decimal("3.125"))
    assert row.network_hashrate == Decimal("715.83")  # EH/s: 1e14 * 2^32 / 600
    assert row.fees_btc == Decimal("0.1")
    assert row.retarget_percent == Decimal("2.5")
    assert row.next_retarget_at.timestamp() == 1_900_000_000
    # 1e15 * 86,400 / (1e14 * 2^32) * 3.225 * 100,000; at that price a satoshi is 0.001 $
    assert row.hashprice_usd_per_ph_day == row.hashprice_sat_per_th_day == Decimal("64.875931")


def test_the_network_fails_over_and_fills_in(set_up):
    set_up(
        coinbase=sources.coinbase("9"), kraken=sources.kraken("9"), mempool=nobody(), blockchain=sources.blockchain()
    )
    collect_market()
    row = MarketSnapshot.objects.get()
    assert (row.network_difficulty, row.fees_btc) == (10**14, Decimal("0.1"))
    assert row.next_retarget_at is not None
    assert row.retarget_percent is None


def test_two_networks_that_disagree_are_none(set_up):
    set_up(
        coinbase=sources.coinbase("9"),
        kraken=sources.kraken("9"),
        mempool=sources.mempool(1e14),
        blockchain=sources.blockchain(2e14),
    )
    collect_market()
    row = MarketSnapshot.objects.get()
    assert row.btc_price == 9
    assert row.network_difficulty is None
    assert outcomes(row)["mempool"] == outcomes(row)["blockchain"] == "outlier"


def test_ones_own_node_is_believed_against_all(set_up, settings):
    own = sources.node(1.2e14, 850_000)
    set_up(coinbase=sources.coinbase("9"), kraken=sources.kraken("9"), node=own, mempool=sources.mempool(1e14))
    settings.MARKET_INNER_TARGETS = settings.MARKET_INNER_TARGETS[:2]  # the node needs no listing
    settings.BITCOIN_NODE_USER, settings.BITCOIN_NODE_PASSWORD = "farm", "secret"
    collect_market()
    row = MarketSnapshot.objects.get()
    assert row.network_difficulty == Decimal("1.2e14")
    assert row.fees_btc == Decimal("0.05")
    assert float(row.retarget_percent) == pytest.approx(100 / 9, abs=0.2)  # nine minutes instead of ten
    assert own.headers[0]["authorization"] == "Basic ZmFybTpzZWNyZXQ="
    assert "secret" not in str(row.sources)


def test_a_quarter_of_an_hour_has_one_row_and_a_second_look_only_adds(set_up):
    set_up(coinbase=sources.coinbase("100"), kraken=sources.kraken("100"))
    collect_market(NOW)
    set_up(coinbase=sources.coinbase("101"), kraken=sources.kraken("101"))
    assert not collect_market(NOW).stored
    row = MarketSnapshot.objects.get()
    assert (row.btc_price, row.network_difficulty) == (100, None)
    set_up(mempool=sources.mempool())
    assert collect_market(NOW).stored
    row.refresh_from_db()
    assert (row.btc_price, row.network_difficulty) == (101, 10**14)


def test_the_task_collects_and_computes(set_up):
    set_up(coinbase=sources.coinbase("100"), kraken=sources.kraken("100"))
    tick()
    indicator = TechnicalIndicator.objects.get()
    assert (indicator.rsi, indicator.signal, indicator.run_length) == (None, None, 1)


def test_off_asks_nobody_and_generated_asks_nobody_either(set_up, settings, capsys):
    source = sources.coinbase("100")
    set_up(coinbase=source, kraken=sources.kraken("100"))
    settings.MARKET_SOURCE = "off"
    tick()
    assert not MarketSnapshot.objects.exists()
    settings.MARKET_SOURCE = "generated"
    call_command("collect_market", "--json")
    row = MarketSnapshot.objects.get()
    assert row.origin == "generated"
    assert row.hashprice_usd_per_ph_day > 0
    assert source.asked == []
    settings.MARKET_SOURCE = "live"
    collect_market()
    row.refresh_from_db()
    assert (row.origin, row.btc_price) == ("live", 100)
