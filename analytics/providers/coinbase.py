"""Coinbase Exchange: `/products/BTC-USD/stats` gives `last` in USD and `volume` in BTC over 24 hours, as texts."""

from datetime import datetime

from analytics.providers.quotes import Fetch, Price, Provider, number, price_of


async def ask(fetch: Fetch, _now: datetime) -> Price:
    reply = await fetch("/products/BTC-USD/stats")
    usd = number(reply, "last")
    return price_of(usd, number(reply, "volume") * usd)


PROVIDER = Provider("coinbase", "MARKET_COINBASE_URL", ask)
