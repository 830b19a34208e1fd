"""Prices of electricity ahead of time: tariffs expanded, day-ahead markets asked. All of it ends in hosting's price history."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError

from analytics.models import PowerContract, PriceKind
from analytics.providers import power_energy_charts, power_nyiso
from analytics.providers.http import SourceFailed, fetcher
from analytics.providers.power import Hour, Market, per_kwh
from analytics.providers.quotes import BadReply
from analytics.tariff import BadTariff, expand
from hosting.prices import Span, Written, write_prices
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

AHEAD = timedelta(days=9)  # tariffs are written for so long
MARKETS: dict[str, Market] = {
    PriceKind.ENERGY_CHARTS: power_energy_charts.MARKET,
    PriceKind.NYISO: power_nyiso.MARKET,
}


@dataclass(frozen=True, slots=True)
class Priced:
    """What came of one site's contract: `outcome` is ok, not_out, or a word for what failed; nothing is made up for it."""

    site: str
    kind: str
    outcome: str
    rows: int = 0
    changed: bool = False
    until: datetime | None = None
    detail: str = ""


def expand_tariff(contract: PowerContract, *, since: datetime | None = None) -> Written:
    """Write the tariff's prices from `since` (now, when left out) and nine days ahead; raises BadTariff.

    It never goes back before the contract begins, and a daily run not behind the current hour: what was charged stays.
    """
    now = database_now()
    zone = ZoneInfo(contract.site.time_zone)
    start = max(contract.starts_at(), full_hour(since or now, zone))
    end = max(full_hour(now, zone), start) + AHEAD
    prices = expand(contract.bands_read(), contract.price_per_kwh, zone, start, end)
    spans = [Span(begins, ends, price, contract.currency) for begins, ends, price in prices]
    return write_prices(contract.site, spans, end_notices=True)


def full_hour(moment: datetime, zone: ZoneInfo) -> datetime:
    """Start of the hour by the site's clock; in absolute time, so that the doubled hour of autumn keeps its place."""
    local = moment.astimezone(zone)
    return moment.astimezone(UTC) - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )


def price_ahead(contracts: Iterable[PowerContract], *, now: datetime | None = None) -> list[Priced]:
    """Bring each contract's site up to date; one that fails leaves the others alone and its site as it was."""
    return [_price(contract, now or database_now()) for contract in contracts]


def _price(contract: PowerContract, now: datetime) -> Priced:
    market = MARKETS.get(contract.kind)
    name = contract.site.name
    try:
        if market is None:
            done = expand_tariff(contract)
            return Priced(name, contract.kind, "ok", done.rows, done.changed)
        return _ask_market(contract, market, now)
    except BadTariff as bad:
        return Priced(name, contract.kind, "bad_tariff", detail=str(bad))
    except (ValidationError, ValueError) as bad:
        return Priced(name, contract.kind, "bad_reply", detail=str(bad))


def _ask_market(contract: PowerContract, market: Market, now: datetime) -> Priced:
    """Today and tomorrow by the market's clock; tomorrow is out in the afternoon."""
    today = now.astimezone(market.clock).date()
    base_url = getattr(settings, market.setting)
    if not base_url:
        return Priced(contract.site.name, contract.kind, "off", detail=f"{market.setting} is empty")
    hours, failures = asyncio.run(_ask_days(market, base_url, contract.zone, [today, today + timedelta(days=1)]))
    begin = contract.starts_at()
    spans = [
        Span(hour.starts_at, hour.ends_at, per_kwh(hour.per_mwh) + contract.price_per_kwh, market.currency)
        for hour in hours
        if hour.starts_at >= begin
    ]
    done = write_prices(contract.site, spans, end_notices=True)
    until = max((span.ends_at for span in spans if span.ends_at), default=None)
    outcome = failures[today][0] if today in failures else "not_out" if failures or not spans else "ok"
    detail = "; ".join(f"{day}: {text}" for day, (_, text) in failures.items())
    return Priced(contract.site.name, contract.kind, outcome, done.rows, done.changed, until, detail[:300])


async def _ask_days(
    market: Market, base_url: str, zone: str, days: list[date]
) -> tuple[list[Hour], dict[date, tuple[str, str]]]:
    """Prices by their start, each once, and for each day that has none a word and a sentence why."""
    fetch = fetcher(base_url, inner_targets=settings.MARKET_INNER_TARGETS, plain=market.plain)
    found: dict[datetime, Hour] = {}
    failures: dict[date, tuple[str, str]] = {}
    for day in days:
        try:
            async with asyncio.timeout(settings.POWER_TIMEOUT_S):
                found |= {hour.starts_at: hour for hour in await market.ask(fetch, zone, day)}
        except TimeoutError:
            failures[day] = ("timeout", f"no complete answer within {settings.POWER_TIMEOUT_S:g} s")
        except SourceFailed as failed:
            failures[day] = (failed.outcome, str(failed))
        except BadReply as bad:
            failures[day] = ("bad_reply", str(bad))
    return [found[at] for at in sorted(found)], failures
