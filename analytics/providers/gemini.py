"""Gemini: `/v1/pubticker/btcusd` gives `last`, and under `volume` what was traded in 24 hours, in `BTC` and in `USD`."""

from datetime import datetime

from analytics.providers.quotes import Fetch, Price, Provider, number, price_of


async def ask(fetch: Fetch, _now: datetime) -> Price:
    reply = await fetch("/v1/pubticker/btcusd")
    return price_of(number(reply, "last"), number(reply, "volume", "USD"))


PROVIDER = Provider("gemini", "MARKET_GEMINI_URL", ask)
