"""Asking every source at once, and storing what they agree on. docs/why/decisions/0024-market-price.md"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from analytics.consensus import MIN_AGREEING, settle
from analytics.figures import Figures, figures
from analytics.generated import floor, made_up
from analytics.models import MarketSnapshot, Origin, TechnicalIndicator
from analytics.providers import NETWORKS, PRICES
from analytics.providers.http import SourceFailed, fetcher, target_of
from analytics.providers.node import PROVIDER as NODE
from analytics.providers.quotes import BadReply, Network, Price, Provider
from events.outbox import publish
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

SPARE_S = 1.0  # of the ten seconds, for DNS threads and the database


class MarketOff(Exception):
    """MARKET_SOURCE says that nobody is to be asked."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of asking one source."""

    name: str
    outcome: str  # ok, outlier, timeout, unreachable, http_error, bad_reply, refused
    latency_ms: int
    quote: Price | Network | None = None
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """As it stands in `market_analytics.sources`."""
        record: dict[str, Any] = {"name": self.name, "outcome": self.outcome, "latency_ms": self.latency_ms}
        if isinstance(self.quote, Price):
            record["price_usd"] = str(self.quote.usd)
        elif isinstance(self.quote, Network):
            record |= {"difficulty": str(self.quote.difficulty), "height": self.quote.height}
        return record | ({"detail": self.detail[:200]} if self.detail else {})


@dataclass(frozen=True, slots=True)
class Collected:
    """One collection. `stored` is False when no source told anything, or the quarter of an hour had it all already."""

    bucket: datetime
    stored: bool
    figures: Figures
    sources: tuple[Told, ...]


def collect_market(now: datetime | None = None) -> Collected:
    """Ask, judge and store the present quarter of an hour; raises MarketOff. Running it twice adds only what was missing."""
    now = now or database_now()
    if settings.MARKET_SOURCE == "off":
        raise MarketOff("MARKET_SOURCE is off: set it to live (or to generated, for figures that are made up).")
    if settings.MARKET_SOURCE == "generated":
        return _store(floor(now), now, generated_figures(now), (), Origin.GENERATED)
    told = asyncio.run(ask_all([*PRICES, *NETWORKS], now))
    found, judged = judge(told)
    return _store(floor(now), now, found, judged, Origin.LIVE)


def generated_figures(at: datetime) -> Figures:
    """The made-up market's figures."""
    row = made_up(at)
    return figures(
        btc_price=row.price_usd,
        network_difficulty=row.difficulty,
        block_height=row.height,
        volume_24h=row.volume_usd,
        fees_btc=row.fees_btc,
        next_retarget_at=row.retarget_at,
    )


# --- asking ------------------------------------------------------------------------------------------------------------


async def ask_all(providers: Sequence[Provider], now: datetime) -> list[Told]:
    """Every source that is set up, at the same time, within MARKET_TIMEOUT_S."""
    asked = [provider for provider in providers if getattr(settings, provider.setting)]
    return list(await asyncio.gather(*(_ask(provider, now) for provider in asked)))


async def _ask(provider: Provider, now: datetime) -> Told:
    began = time.monotonic()

    def told(outcome: str, quote: Price | Network | None = None, detail: str = "") -> Told:
        return Told(provider.name, outcome, round((time.monotonic() - began) * 1000), quote, detail)

    base_url = getattr(settings, provider.setting)
    inner, login = settings.MARKET_INNER_TARGETS, None
    if provider is NODE:  # it stands where its operator says
        inner = [*inner, target_of(base_url)]
        login = (settings.BITCOIN_NODE_USER, settings.BITCOIN_NODE_PASSWORD) if settings.BITCOIN_NODE_USER else None
    try:
        async with asyncio.timeout(settings.MARKET_TIMEOUT_S):
            return told("ok", await provider.ask(fetcher(base_url, inner_targets=inner, login=login), now))
    except TimeoutError:
        return told("timeout", detail=f"no complete answer within {settings.MARKET_TIMEOUT_S:g} s")
    except SourceFailed as failed:
        return told(failed.outcome, detail=str(failed))
    except BadReply as bad:
        return told("bad_reply", detail=str(bad))


# --- judging -----------------------------------------------------------------------------------------------------------


def judge(told: Sequence[Told]) -> tuple[Figures, tuple[Told, ...]]:
    """What the sources agree on, and their records with the outliers marked."""
    prices = {one.name: one.quote for one in told if isinstance(one.quote, Price)}
    networks = {one.name: one.quote for one in told if isinstance(one.quote, Network)}
    price = settle({name: quote.usd for name, quote in prices.items()}, needed=_needed(PRICES))
    volumes = [prices[name].volume_usd for name in price.agreeing]
    network, odd = _network(networks)
    found = figures(
        btc_price=price.value,
        volume_24h=sum((volume for volume in volumes if volume is not None), Decimal(0)) if any(volumes) else None,
        **network,
    )
    outliers = {*price.outliers, *odd}
    return found, tuple(replace(one, outcome="outlier") if one.name in outliers else one for one in told)


def _network(networks: dict[str, Network]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """One's own node is believed; else the first of those that agree. What the first lacks, the next may add."""
    if NODE.name in networks:
        own = networks[NODE.name].difficulty
        agreeing = [name for name, quote in networks.items() if quote.difficulty == own]
    else:
        agreeing = list(settle({name: quote.difficulty for name, quote in networks.items()}, needed=1).agreeing)
    odd = tuple(name for name in networks if name not in agreeing)
    if not agreeing:
        return {}, odd
    chosen = [networks[provider.name] for provider in NETWORKS if provider.name in agreeing]
    first = chosen[0]

    def known(field: str) -> Any:
        return next((value for quote in chosen if (value := getattr(quote, field)) is not None), None)

    return {
        "network_difficulty": first.difficulty,
        "block_height": first.height,
        "fees_btc": known("fees_btc"),
        "next_retarget_at": known("retarget_at"),
        "retarget_percent": known("retarget_percent"),
    }, odd


def _needed(providers: Sequence[Provider]) -> int:
    """Two must agree, unless only one is set up."""
    return min(MIN_AGREEING, sum(bool(getattr(settings, provider.setting)) for provider in providers)) or 1


# --- storing -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def _store(bucket: datetime, now: datetime, found: Figures, told: tuple[Told, ...], origin: Origin) -> Collected:
    stored = False
    if found.btc_price is not None or found.network_difficulty is not None:
        stored = _write(bucket, now, found, told, origin)
    if found.btc_price is None:
        _tell_stale(now, told)
    return Collected(bucket, stored, found, told)


def _write(bucket: datetime, now: datetime, found: Figures, told: tuple[Told, ...], origin: Origin) -> bool:
    row, made = MarketSnapshot.objects.select_for_update().get_or_create(
        bucket=bucket,
        defaults={
            **asdict(found),
            "created_at": now,
            "origin": origin,
            "sources": [one.record() for one in told],
        },
    )
    if made:
        return True
    outranks = row.origin == Origin.GENERATED and origin is Origin.LIVE
    if not outranks and not (row.origin == origin == Origin.LIVE and _adds(row, found)):
        return False
    TechnicalIndicator.objects.filter(analytics=row).delete()  # they were of the other price
    for name, value in asdict(found).items():
        setattr(row, name, value)
    row.created_at, row.origin, row.sources = now, origin, [one.record() for one in told]
    row.save()
    return True


def _adds(row: MarketSnapshot, found: Figures) -> bool:
    """Whether a second collection knows all that the first did, and something more."""
    fields = ("btc_price", "network_difficulty", "fees_btc")
    had = {name for name in fields if getattr(row, name) is not None}
    has = {name for name in fields if getattr(found, name) is not None}
    return had < has


def _tell_stale(now: datetime, told: tuple[Told, ...]) -> None:
    """One event for each time that prices end, however long they stay away."""
    newest = MarketSnapshot.objects.newest()
    last = newest.created_at.isoformat() if newest else None
    publish(
        "market.stale",
        about="market",
        dedupe_key=f"market.stale:{last or 'never'}",
        at=now.isoformat(),
        last_price_at=last,
        sources={one.name: one.outcome for one in told},
    )
    log.warning("no price: %s", ", ".join(f"{one.name} {one.outcome}" for one in told) or "no source is set up")
