"""Kraken: `/0/public/Ticker` gives per pair `c` (last trade), `v` (volume in BTC: today, 24 h) and `p` (mean price likewise)."""

from datetime import datetime

from analytics.providers.quotes import BadReply, Fetch, Price, Provider, number, price_of


async def ask(fetch: Fetch, _now: datetime) -> Price:
    reply = await fetch("/0/public/Ticker?pair=XBTUSD")
    if not isinstance(reply, dict) or reply.get("error"):
        raise BadReply(f"it says {str(reply.get('error') if isinstance(reply, dict) else reply)[:80]}")
    pairs = reply.get("result")
    if not isinstance(pairs, dict) or len(pairs) != 1:
        raise BadReply("result does not hold the one pair that was asked for")
    (pair,) = pairs.values()  # it answers under a name of its own, XXBTZUSD
    return price_of(number(pair, "c", 0), number(pair, "v", 1) * number(pair, "p", 1))


PROVIDER = Provider("kraken", "MARKET_KRAKEN_URL", ask)
