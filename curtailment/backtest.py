"""What a rule would have done to stored prices: the site's electricity against stored hashprice, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from analytics.hashprice import break_even_usd_per_mwh
from analytics.models import MarketSnapshot
from curtailment import facts
from curtailment.models import CurtailmentRule, RuleKind, SitePolicy
from curtailment.triggers import price, schedule
from curtailment.triggers.dwell import window_of
from curtailment.triggers.replay import WINDOW, Moment, Stretch, reckon, replay
from curtailment.triggers.wishes import Wish
from hosting.models import ElectricityPrice, Site

LONGEST = timedelta(days=400)
TESTED = (RuleKind.PRICE, RuleKind.SCHEDULE)
CENT = Decimal("0.01")
RESTART_MINUTES = 10  # from the order to wake until a machine hashes as before; most makes take five to ten
MW_W = Decimal(1_000_000)


class CannotTest(ValueError):
    """The rule or the time cannot be tested; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BackTest:
    """Money in USD for `mw` that are stopped; `saved` against always on, after revenue forgone and restarts.

    `known_share` is the share of windows of which price and hashprice are stored. `moments` are for the chart.
    """

    rule_id: int
    content_hash: str
    starts_at: datetime
    ends_at: datetime
    mw: Decimal
    efficiency_j_th: Decimal
    windows: int
    known_share: float
    hours: Decimal
    events: int
    longest_h: Decimal
    saved_usd: Decimal
    avoided_usd: Decimal
    forgone_usd: Decimal
    perfect_usd: Decimal
    stretches: list[Stretch] = field(repr=False)
    moments: list[Moment] = field(repr=False)

    @property
    def share_of_perfect(self) -> float | None:
        return float(self.saved_usd / self.perfect_usd) if self.perfect_usd > 0 else None

    def document(self) -> dict[str, Any]:
        """For JSON, without the windows."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in {"moments", "stretches"}}
        return plain | {
            "share_of_perfect": self.share_of_perfect,
            "list": [
                {
                    "starts_at": one.starts_at,
                    "ends_at": one.ends_at,
                    "hours": round(one.hours, 2),
                    "began": one.began,
                    "ended": one.ended,
                }
                for one in self.stretches
            ],
        }


def backtest(
    rule: CurtailmentRule,
    start: datetime,
    end: datetime,
    *,
    mw: Decimal | None = None,
    efficiency_j_th: Decimal | None = None,
    now: datetime,
) -> BackTest:
    """Replay the rule over [start, end). Raises CannotTest.

    MW and J/TH are those of the machines that it would stop now, unless they are given: of farms long ago nobody knows.
    """
    kind = RuleKind(rule.kind)
    if kind not in TESTED:
        raise CannotTest(f"A rule of kind {kind.label} follows no price: run a dry run of it instead.")
    start, end = window_of(start.astimezone(UTC), WINDOW), end.astimezone(UTC)
    if not start < end <= start + LONGEST:
        raise CannotTest("Give an end after the start, within 400 days.")
    machines = facts.machines_of(rule, [], now)
    efficiency = efficiency_j_th or machines.efficiency_j_th
    megawatts = mw or (rule.target_mw or machines.power_w / MW_W)
    if not efficiency or not megawatts:
        raise CannotTest(f"No machine of {rule.site} hashes now: give --mw and --efficiency.")
    moments = moments_of(rule.site, start, end, efficiency)
    limits = facts.limits_of(rule, SitePolicy.of(rule.site).max_minutes)
    stretches = replay(moments, _Wisher(rule), limits)
    money = reckon(moments, stretches, restart_h=Decimal(RESTART_MINUTES) / 60)
    known = sum(1 for one in moments if one.price is not None and one.break_even is not None)
    return BackTest(
        rule_id=rule.pk,
        content_hash=rule.content_hash,
        starts_at=start,
        ends_at=end,
        mw=megawatts.quantize(Decimal("0.000001")),
        efficiency_j_th=efficiency.quantize(CENT),
        windows=len(moments),
        known_share=round(known / len(moments), 4) if moments else 0.0,
        hours=sum((one.hours for one in stretches), Decimal(0)).quantize(CENT),
        events=len(stretches),
        longest_h=max((one.hours for one in stretches), default=Decimal(0)).quantize(CENT),
        saved_usd=(money.saved * megawatts).quantize(CENT),
        avoided_usd=(money.avoided * megawatts).quantize(CENT),
        forgone_usd=(money.forgone * megawatts).quantize(CENT),
        perfect_usd=(money.perfect * megawatts).quantize(CENT),
        stretches=stretches,
        moments=moments,
    )


def moments_of(site: Site, start: datetime, end: datetime, efficiency_j_th: Decimal) -> list[Moment]:
    """Price and break-even of every five minutes; two queries, and one walk along both."""
    prices = _prices(site, start, end)
    hashprices = _hashprices(start, end)
    keep = 1 - facts.pool_fee()
    found, priced, hashed = [], 0, 0
    break_even: Decimal | None = None
    at = start
    while at < end:
        while priced < len(prices) and prices[priced][1] is not None and prices[priced][1] <= at:  # type: ignore[operator]
            priced += 1
        current = prices[priced] if priced < len(prices) and prices[priced][0] <= at else None
        moved = False
        while hashed + 1 < len(hashprices) and hashprices[hashed + 1][0] <= at:
            hashed, moved = hashed + 1, True
        if hashprices and (moved or break_even is None):
            break_even = break_even_usd_per_mwh(hashprices[hashed][1] * keep, efficiency_j_th)
        fresh = bool(hashprices) and timedelta(0) <= at - hashprices[hashed][0] < facts.HASHPRICE_FRESH
        found.append(Moment(at, current[2] if current else None, break_even if fresh else None))
        at += WINDOW
    return found


def _prices(site: Site, start: datetime, end: datetime) -> list[tuple[datetime, datetime | None, Decimal]]:
    rows = (
        ElectricityPrice.objects.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=start), site=site)
        .filter(valid_from__lt=end, currency="USD")
        .order_by("valid_from")
        .values_list("valid_from", "valid_until", "price_per_kwh")
    )
    return [(since, until, per_kwh * facts.MWH) for since, until, per_kwh in rows]


def _hashprices(start: datetime, end: datetime) -> list[tuple[datetime, Decimal]]:
    rows = (
        MarketSnapshot.objects.filter(
            bucket__gt=start - facts.HASHPRICE_FRESH, bucket__lt=end, hashprice_usd_per_ph_day__gt=0
        )
        .order_by("bucket")
        .values_list("bucket", "hashprice_usd_per_ph_day")
    )
    return [(bucket, hashprice) for bucket, hashprice in rows if hashprice is not None]


class _Wisher:
    """The rule's wish of a window that has passed."""

    def __init__(self, rule: CurtailmentRule) -> None:
        self.kind = RuleKind(rule.kind)
        self.settings = rule.read_settings()
        self.zone = ZoneInfo(rule.site.time_zone)

    def __call__(self, moment: Moment) -> Wish:
        if self.kind == RuleKind.PRICE:
            return price.wish(self.settings, price=moment.price, break_even=moment.break_even)
        return schedule.wish(self.settings, self.zone, moment.at)


def chart(found: BackTest, settings: Any, *, points: int = 2000) -> dict[str, Any]:
    """What backtest.js draws: seconds, price, band and the stretches; thinned to so many points, dearest kept."""
    stride = max(1, -(-len(found.moments) // points))
    xs, prices, lows, highs = [], [], [], []
    for first in range(0, len(found.moments), stride):
        group: Sequence[Moment] = found.moments[first : first + stride]
        moment = max(group, key=lambda one: one.price if one.price is not None else Decimal("-Infinity"))
        xs.append(round(group[0].at.timestamp()))
        prices.append(None if moment.price is None else float(moment.price))
        band = _band(settings, moment.break_even)
        highs.append(band and float(band[0]))
        lows.append(band and float(band[1]))
    shaded = [[round(one.starts_at.timestamp()), round(one.ends_at.timestamp())] for one in found.stretches]
    return {"x": xs, "price": prices, "low": lows, "high": highs, "curtailed": shaded}


def _band(settings: Any, break_even: Decimal | None) -> tuple[Decimal, Decimal] | None:
    if not isinstance(settings, price.PriceSettings):
        return None if break_even is None else (break_even, break_even)
    strike = price.strike_of(settings, break_even)
    return None if strike is None else price.band(strike, settings.hysteresis)
