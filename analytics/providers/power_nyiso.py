"""NYISO, the grid of New York: day-ahead prices of its zones in USD, without a key.

`/public/csv/damlbmp/20261124damlbmp_zone.csv`: columns `Time Stamp` (start of the hour, New York's clock, `11/24/2026 00:00`),
`Name` (the zone) and `LBMP ($/MWHr)`. The hour that comes twice in autumn has two lines, in order. A day that is not out is 404.
"""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from analytics.providers.power import MAX_PER_MWH, Hour, Market
from analytics.providers.quotes import BadReply, Fetch

CLOCK = ZoneInfo("America/New_York")
WHEN, ZONE, PRICE = "Time Stamp", "Name", "LBMP ($/MWHr)"


async def ask(fetch: Fetch, zone: str, day: date) -> list[Hour]:
    rows = csv.DictReader(str(await fetch(f"/public/csv/damlbmp/{day:%Y%m%d}damlbmp_zone.csv")).splitlines())
    missing = {WHEN, ZONE, PRICE} - set(rows.fieldnames or ())
    if missing:
        raise BadReply(f"there is no column {min(missing)}")
    found: list[Hour] = []
    for row in rows:
        if (row[ZONE] or "").strip().casefold() != zone.casefold():
            continue
        starts_at = moment(row[WHEN], found[-1].starts_at if found else None)
        found.append(Hour(starts_at, starts_at + timedelta(hours=1), price_of(row[PRICE])))
    if not found:
        raise BadReply(f"there is no zone {zone}")
    return found


def moment(text: str | None, before: datetime | None) -> datetime:
    """Start of an hour; of two with one name the second is the later one."""
    try:
        local = datetime.strptime((text or "").strip()[:16], "%m/%d/%Y %H:%M").replace(tzinfo=CLOCK)
    except ValueError:
        raise BadReply(f"{str(text)[:20]!r} is no time") from None
    at = local.astimezone(UTC)
    if before is not None and at <= before:
        at = local.replace(fold=1).astimezone(UTC)
    if before is not None and at <= before:
        raise BadReply("the hours are not in order")
    return at


def price_of(text: str | None) -> Decimal:
    try:
        price = Decimal((text or "").strip())
    except InvalidOperation:
        raise BadReply(f"{str(text)[:20]!r} is no price") from None
    if not price.is_finite() or abs(price) > MAX_PER_MWH:
        raise BadReply(f"a price of {price} $/MWh cannot be")
    return price


MARKET = Market("nyiso", "POWER_NYISO_URL", "USD", CLOCK, ask, plain=True)
