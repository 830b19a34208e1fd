"""What the API tells of the market. Numbers are JSON numbers; what is unknown is null."""

from typing import Any

from rest_framework import serializers

from analytics.models import Origin


def figure(text: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=text)


class MarketSerializer(serializers.Serializer[dict[str, Any]]):
    recorded_at = serializers.DateTimeField(help_text="Start of the interval; the row is the last one in it.")
    created_at = serializers.DateTimeField(help_text="The moment that the figures are of.")
    origin = serializers.ChoiceField(choices=Origin.choices)
    btc_price = figure("USD.")
    volume_24h = figure("USD in 24 hours at the sources that the price is of.")
    network_difficulty = figure("")
    network_hashrate = figure("EH/s that the difficulty stands for.")
    block_height = serializers.IntegerField(allow_null=True)
    block_reward = figure("BTC, by height.")
    fees_btc = figure("BTC of fees in a block, mean of 144.")
    next_retarget_at = serializers.DateTimeField(allow_null=True, help_text="Estimate.")
    retarget_percent = figure("Change of the difficulty then, estimate.")
    hashprice_usd_per_ph_day = figure("With fees.")
    hashprice_sat_per_th_day = figure("With fees.")


class SourceSerializer(serializers.Serializer[dict[str, Any]]):
    name = serializers.CharField()
    outcome = serializers.CharField(
        help_text="`ok`, `outlier`, `timeout`, `unreachable`, `http_error`, `bad_reply` or `refused`."
    )
    latency_ms = serializers.IntegerField()
    price_usd = serializers.CharField(required=False)
    difficulty = serializers.CharField(required=False)
    height = serializers.IntegerField(required=False)


class LatestMarketSerializer(MarketSerializer):
    age_s = serializers.IntegerField()
    stale = serializers.BooleanField(help_text="The price is more than 20 minutes old.")
    sources = SourceSerializer(many=True)


class IndicatorSerializer(serializers.Serializer[dict[str, Any]]):
    recorded_at = serializers.DateTimeField(
        help_text="Start of the interval; the values are after the last close in it."
    )
    btc_price = figure("The close, USD.")
    rsi = figure("Wilder's, 14.")
    macd = figure("EMA 12 - EMA 26.")
    macd_signal = figure("EMA 9 of it.")
    macd_histogram = figure("MACD - signal line.")
    bb_upper = figure("")
    bb_middle = figure("Mean of 20 closes.")
    bb_lower = figure("")
    ema_12 = figure("")
    ema_26 = figure("")
    signal = serializers.ChoiceField(choices=["BUY", "SELL", "NEUTRAL"], allow_null=True)
    run_started_at = serializers.DateTimeField(help_text="First close since the last gap.")
    run_length = serializers.IntegerField()
    missing_before = serializers.IntegerField(
        allow_null=True, help_text="Quarters of an hour without a price before it."
    )
    parameters = serializers.CharField()
