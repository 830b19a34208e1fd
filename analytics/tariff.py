"""A time-of-use tariff: bands of a site's own week, and the prices that they come to hour by hour. Pure.

Hours are stepped in absolute time and named by the site's clock: the hour that comes twice in autumn costs twice what its band
says, and the one that spring leaves out costs nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PART = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?")
HOUR = timedelta(hours=1)


class BadTariff(ValueError):
    """Bands that cannot hold; the message says why."""


@dataclass(frozen=True, slots=True)
class Band:
    """On these weekdays (0 is Monday) from hour `from_hour` until before `until_hour`; 22 to 6 goes on after midnight."""

    days: frozenset[int]
    from_hour: int
    until_hour: int
    price_per_kwh: Decimal

    def hours(self) -> set[tuple[int, int]]:
        """Each (weekday, hour) of the week that the band is about; an hour after midnight is of the next day."""
        length = (self.until_hour - self.from_hour) % 24 or 24
        return {
            ((day + (self.from_hour + step) // 24) % 7, (self.from_hour + step) % 24)
            for day in self.days
            for step in range(length)
        }


def days_of(text: str) -> frozenset[int]:
    """`mon-fri`, `sat, sun` or `fri-mon` as weekdays; raises BadTariff."""
    found: set[int] = set()
    for part in text.lower().split(","):
        match = PART.fullmatch(part.strip())
        if not match or match[1] not in DAYS or (match[2] and match[2] not in DAYS):
            raise BadTariff(f"{text[:40]!r} names no weekdays: write them like mon-fri or sat, sun.")
        first = DAYS.index(match[1])
        last = DAYS.index(match[2]) if match[2] else first
        found |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return frozenset(found)


def week_of(bands: Sequence[Band], otherwise: Decimal) -> dict[tuple[int, int], Decimal]:
    """The price of every hour of a week; raises BadTariff where two bands are about the same hour."""
    week = {(day, hour): otherwise for day in range(7) for hour in range(24)}
    taken: set[tuple[int, int]] = set()
    for band in bands:
        hours = band.hours()
        if taken & hours:
            day, hour = min(taken & hours)
            raise BadTariff(f"Two bands are about {DAYS[day]} {hour}:00: let each hour be in one band.")
        taken |= hours
        week |= dict.fromkeys(hours, band.price_per_kwh)
    return week


def expand(
    bands: Sequence[Band], otherwise: Decimal, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, Decimal]]:
    """(from, until, price per kWh) over [start, end) without a hole, equal hours as one. `start` is a full local hour."""
    week = week_of(bands, otherwise)
    at = begun = start.astimezone(UTC)
    price: Decimal | None = None
    while at < end:
        local = at.astimezone(zone)
        now = week[local.weekday(), local.hour]
        if price is not None and now != price:
            yield begun, at, price
            begun = at
        price = now
        at += HOUR
    if price is not None:
        yield begun, at, price
