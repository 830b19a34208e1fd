"""A month of a site: from its first local midnight to the next month's, in absolute time. Pure.

Both days on which the clocks change are whole: the month of the spring change is an hour short, the one of autumn an hour long.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MONTH = re.compile(r"(\d{4})-(\d{2})")
YEARS = range(2009, 2200)  # nobody mined before; far later ones have no month after them


class BadMonth(ValueError):
    """No month; the message says how to write one."""


def month_of(text: str) -> date:
    """`2026-10` as its first day; raises BadMonth."""
    found = MONTH.fullmatch(text.strip())
    if not found or not 1 <= int(found[2]) <= 12 or int(found[1]) not in YEARS:
        raise BadMonth(f"{text[:40]!r} is no month: write it as 2026-10.")
    return date(int(found[1]), int(found[2]), 1)


def month_after(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def month_before(month: date) -> date:
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which the day begins there; where clocks leave midnight out, the moment of the change."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Local days [first, after) of one clock."""

    first: date
    after: date
    time_zone: str

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def starts_at(self) -> datetime:
        return midnight(self.first, self.zone)

    @property
    def ends_at(self) -> datetime:
        return midnight(self.after, self.zone)

    @property
    def seconds(self) -> int:
        return int((self.ends_at - self.starts_at).total_seconds())

    def days(self) -> Iterator[date]:
        for number in range((self.after - self.first).days):
            yield self.first + timedelta(days=number)


def month_at(month: date, time_zone: str) -> Span:
    return Span(month, month_after(month), time_zone)
