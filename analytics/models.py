"""The market every quarter of an hour, and what indicators make of it. Public figures: the same for everybody."""

from datetime import datetime, timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from analytics.contracts import PowerContract, PriceKind, TariffBand

__all__ = [
    "BUCKET",
    "STALE_AFTER",
    "MarketSnapshot",
    "Origin",
    "PowerContract",
    "PriceKind",
    "TariffBand",
    "TechnicalIndicator",
]

BUCKET = timedelta(minutes=15)
STALE_AFTER = timedelta(minutes=20)


class Origin(models.TextChoices):
    """Where a row comes from."""

    LIVE = "live", "collected from its sources"
    IMPORTED = "imported", "imported from a file"
    GENERATED = "generated", "made up for a demo"


class Snapshots(models.QuerySet["MarketSnapshot"]):
    def for_user(self, user: User) -> Self:
        """All: the market is the same for everybody who may see it."""
        return self

    def priced(self) -> Self:
        return self.filter(btc_price__isnull=False)

    def newest(self) -> "MarketSnapshot | None":
        """The newest row with a price."""
        return self.priced().order_by("-bucket").first()


class MarketSnapshot(models.Model):
    """Price and network in one quarter of an hour (`bucket` is its start). What no source told is NULL, never a guess."""

    bucket = models.DateTimeField(unique=True, help_text="Start of the quarter of an hour, UTC.")
    btc_price = models.DecimalField("BTC price, USD", max_digits=12, decimal_places=2, null=True)
    network_hashrate = models.DecimalField(
        "network, EH/s", max_digits=10, decimal_places=2, null=True, help_text="What the difficulty stands for."
    )
    network_difficulty = models.DecimalField("difficulty", max_digits=20, decimal_places=2, null=True)
    block_reward = models.DecimalField(
        "block reward, BTC",
        max_digits=10,
        decimal_places=8,
        null=True,
        help_text="New coins of a block, by its height.",
    )
    volume_24h = models.DecimalField(
        "volume of 24 h, USD",
        max_digits=15,
        decimal_places=2,
        null=True,
        help_text="Added up over the sources that the price is of, not the whole world.",
    )
    created_at = models.DateTimeField(db_default=Now(), help_text="The moment that the figures are of.")
    # beside the specification
    origin = models.TextField(choices=Origin, default=Origin.LIVE, db_default=Origin.LIVE)
    block_height = models.IntegerField(null=True)
    fees_btc = models.DecimalField(
        "fees, BTC", max_digits=12, decimal_places=8, null=True, help_text="Fees of a block, mean of the last 144."
    )
    next_retarget_at = models.DateTimeField(null=True, help_text="Estimate.")
    retarget_percent = models.DecimalField(
        "next change, %", max_digits=8, decimal_places=3, null=True, help_text="Of the difficulty, estimate."
    )
    hashprice_usd_per_ph_day = models.DecimalField(
        "hashprice, $/PH/day", max_digits=30, decimal_places=6, null=True, help_text="With fees."
    )
    hashprice_sat_per_th_day = models.DecimalField(
        "hashprice, sat/TH/day", max_digits=30, decimal_places=6, null=True, help_text="With fees."
    )
    sources = models.JSONField(
        default=list, db_default=[], help_text="Who was asked: name, outcome, latency_ms and what it said."
    )

    objects = Snapshots.as_manager()

    class Meta:
        db_table = "market_analytics"
        ordering = ["-bucket"]
        indexes = [models.Index(fields=["-created_at"], name="idx_market_analytics_time")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(btc_price__isnull=True) | models.Q(btc_price__gt=0), name="market_price_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(network_difficulty__isnull=True) | models.Q(network_difficulty__gt=0),
                name="market_difficulty_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"market at {self.bucket:%Y-%m-%d %H:%M}"

    def is_stale(self, now: datetime) -> bool:
        return now - self.created_at > STALE_AFTER


class Indicators(models.QuerySet["TechnicalIndicator"]):
    def for_user(self, user: User) -> Self:
        """All, as the market that they are of."""
        return self


class TechnicalIndicator(models.Model):
    """Indicators after one close. NULL until their windows are full; docs/why/decisions/0025-indicators.md."""

    analytics = models.OneToOneField(MarketSnapshot, models.CASCADE, related_name="indicators")
    rsi = models.DecimalField("RSI", max_digits=5, decimal_places=2, null=True)
    macd = models.DecimalField("MACD", max_digits=10, decimal_places=4, null=True)
    macd_signal = models.DecimalField("MACD signal line", max_digits=10, decimal_places=4, null=True)
    macd_histogram = models.DecimalField("MACD histogram", max_digits=10, decimal_places=4, null=True)
    bb_upper = models.DecimalField("upper band", max_digits=12, decimal_places=2, null=True)
    bb_middle = models.DecimalField("middle band", max_digits=12, decimal_places=2, null=True)
    bb_lower = models.DecimalField("lower band", max_digits=12, decimal_places=2, null=True)
    ema_12 = models.DecimalField("EMA 12", max_digits=12, decimal_places=2, null=True)
    ema_26 = models.DecimalField("EMA 26", max_digits=12, decimal_places=2, null=True)
    signal = models.TextField(
        choices=[(name, name) for name in ("BUY", "SELL", "NEUTRAL")], null=True, help_text="Majority of three votes."
    )
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was computed.")
    # beside the specification
    run_started_at = models.DateTimeField(help_text="First close of the run: the warm-up began here.")
    run_length = models.IntegerField(help_text="Closes of the run up to here.")
    missing_before = models.IntegerField(
        null=True, help_text="Quarters of an hour without a price before this one; null where nothing is before it."
    )
    state = ArrayField(
        models.FloatField(), null=True, help_text="What the next close needs beside the last 40; null in a short run."
    )
    parameters = models.TextField(help_text="Periods that it was computed with.")

    objects = Indicators.as_manager()

    class Meta:
        db_table = "technical_indicators"
        ordering = ["-analytics__bucket"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(signal__isnull=True) | models.Q(signal__in=["BUY", "SELL", "NEUTRAL"]),
                name="technical_indicators_signal_known",
            ),
            models.CheckConstraint(
                condition=models.Q(rsi__isnull=True) | models.Q(rsi__gte=0, rsi__lte=100),
                name="technical_indicators_rsi_within",
            ),
        ]

    def __str__(self) -> str:
        return f"indicators of snapshot {self.analytics_id}"
