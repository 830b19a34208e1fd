"""Bitstamp: `/api/v2/ticker/btcusd/` gives `last` and `vwap` in USD and `volume` in BTC over 24 hours, as texts."""

from datetime import datetime

from analytics.providers.quotes import Fetch, Price, Provider, number, price_of


async def ask(fetch: Fetch, _now: datetime) -> Price:
    reply = await fetch("/api/v2/ticker/btcusd/")
    return price_of(number(reply, "last"), number(reply, "volume") * number(reply, "vwap"))


PROVIDER = Provider("bitstamp", "MARKET_BITSTAMP_URL", ask)
