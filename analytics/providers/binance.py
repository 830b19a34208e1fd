"""Binance: `/api/v3/ticker/24hr?symbol=BTCUSDT` gives `lastPrice` and `quoteVolume`.

Both are in USDT, a token that is meant to be worth a dollar. Should it not be, this source drifts off the others, and is dropped.
"""

from datetime import datetime

from analytics.providers.quotes import Fetch, Price, Provider, number, price_of


async def ask(fetch: Fetch, _now: datetime) -> Price:
    reply = await fetch("/api/v3/ticker/24hr?symbol=BTCUSDT")
    return price_of(number(reply, "lastPrice"), number(reply, "quoteVolume"))


PROVIDER = Provider("binance", "MARKET_BINANCE_URL", ask)
