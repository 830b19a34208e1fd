"""energy-charts.info of Fraunhofer ISE: day-ahead prices of European bidding zones, without a key.

`/price?bzn=DE-LU&start=2026-11-24&end=2026-11-24`: `unix_seconds` and `price` are lists of the same length, `unit` is
`EUR / MWh` for every zone. A value stands for the time until the next one (an hour, since October 2025 a quarter of one), the
last for as long as the one before it. Days are those of Brussels. Prices that are not out yet are left out or null.
"""

import itertools
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from analytics.providers.power import MAX_PER_MWH, Hour, Market
from analytics.providers.quotes import BadReply, Fetch, number

STEPS_S = (900, 1800, 3600)


async def ask(fetch: Fetch, zone: str, day: date) -> list[Hour]:
    query = urlencode({"bzn": zone, "start": day.isoformat(), "end": day.isoformat()})
    reply = await fetch(f"/price?{query}")
    if not isinstance(reply, dict) or not isinstance(reply.get("unix_seconds"), list):
        raise BadReply("there is no unix_seconds")
    if not isinstance(reply.get("price"), list) or len(reply["price"]) != len(reply["unix_seconds"]):
        raise BadReply("price has not as many values as unix_seconds")
    if "".join(str(reply.get("unit")).split()).upper() != "EUR/MWH":
        raise BadReply(f"the unit is {str(reply.get('unit'))[:20]!r}, not EUR / MWh")
    count = len(reply["price"])
    times = [int(number(reply, "unix_seconds", at)) for at in range(count)]
    if times != sorted(set(times)):
        raise BadReply("unix_seconds are not in order")
    step = min((later - earlier for earlier, later in itertools.pairwise(times)), default=3600)
    if step not in STEPS_S:
        raise BadReply(f"a price every {step} s")
    found = []
    for at, seconds in enumerate(times):
        if reply["price"][at] is None:
            continue
        price = number(reply, "price", at)
        if abs(price) > MAX_PER_MWH:
            raise BadReply(f"a price of {price} EUR/MWh cannot be")
        starts_at = datetime.fromtimestamp(seconds, UTC)
        found.append(Hour(starts_at, starts_at + timedelta(seconds=step), price))
    return found


MARKET = Market("energy-charts", "POWER_ENERGY_CHARTS_URL", "EUR", ZoneInfo("Europe/Brussels"), ask)
