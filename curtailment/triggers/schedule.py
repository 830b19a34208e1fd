"""Times of the week by the site's own clock, such as working days from 16:00 to 19:00.

The clock changes twice a year. A time that it skips moves forward to the first moment after the gap; the hour that it repeats
counts once: a time in it is its first showing, so a stretch that begins there begins at the first, and one that ends there
ends at the first. A stretch that ends at or before its beginning ends on the next day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from curtailment.triggers.reading import known_only
from curtailment.triggers.wishes import BadSettings, Want, Wish

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOW = timedelta(minutes=1)
A_DAY = timedelta(days=1)
HORIZON_DAYS = 370


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    days: frozenset[int]  # Monday is 0
    begins: time
    ends: time
    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class Occurrence:
    starts_at: datetime
    ends_at: datetime


def parse(given: Mapping[str, Any]) -> ScheduleSettings:
    """Raises BadSettings."""
    known_only(given, ("days", "from", "to", "first", "last"))
    told = given.get("days") or list(DAYS)
    if not isinstance(told, list) or any(day not in DAYS for day in told):
        raise BadSettings("days", f"Give days such as mon, tue: {', '.join(DAYS)}.")
    begins, ends = _time(given, "from"), _time(given, "to")
    if begins == ends:
        raise BadSettings("to", "Begins and ends at the same time: give another end.")
    first, last = _date(given, "first"), _date(given, "last")
    if first and last and last < first:
        raise BadSettings("last", "The last day is before the first: give a later one.")
    return ScheduleSettings(frozenset(DAYS.index(day) for day in told), begins, ends, first, last)


def wish(settings: ScheduleSettings, zone: ZoneInfo, now: datetime) -> Wish:
    current = occurrence_at(settings, zone, now)
    if current is not None:
        ends = current.ends_at.astimezone(zone)
        return Wish(Want.CURTAIL, f"scheduled until {ends:%H:%M}", at_once=True, until=current.ends_at)
    following = next_occurrence(settings, zone, now)
    told = f"next {following.starts_at.astimezone(zone):%a %Y-%m-%d %H:%M}" if following else "no further time"
    return Wish(Want.RELEASE, f"not in a scheduled time; {told}", at_once=True)


def occurrence_at(settings: ScheduleSettings, zone: ZoneInfo, now: datetime) -> Occurrence | None:
    """The stretch that `now` lies in."""
    today = now.astimezone(zone).date()
    for day in (today - A_DAY, today):
        found = _on(settings, zone, day)
        if found and found.starts_at <= now < found.ends_at:
            return found
    return None


def next_occurrence(settings: ScheduleSettings, zone: ZoneInfo, now: datetime) -> Occurrence | None:
    """The first stretch that begins after `now`, within a year."""
    start = max(now.astimezone(zone).date() - A_DAY, settings.first or date.min)
    for ahead in range(HORIZON_DAYS):
        found = _on(settings, zone, start + ahead * A_DAY)
        if found and found.starts_at > now:
            return found
    return None


def occurrences(settings: ScheduleSettings, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Occurrence]:
    """Stretches that touch [start, end), oldest first."""
    day = start.astimezone(zone).date() - A_DAY
    while day <= end.astimezone(zone).date():
        found = _on(settings, zone, day)
        if found and found.starts_at < end and found.ends_at > start:
            yield found
        day += A_DAY


def _on(settings: ScheduleSettings, zone: ZoneInfo, day: date) -> Occurrence | None:
    """The stretch that begins on this day of the site's calendar."""
    if day.weekday() not in settings.days:
        return None
    if (settings.first and day < settings.first) or (settings.last and day > settings.last):
        return None
    starts_at = local_moment(day, settings.begins, zone)
    ends_at = local_moment(day if settings.ends > settings.begins else day + A_DAY, settings.ends, zone)
    return Occurrence(starts_at, ends_at) if ends_at > starts_at else None  # all of it fell into the gap


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment at which the site's clock shows this time first; for one that it skips, the first moment after the gap."""
    given = datetime.combine(day, at, tzinfo=zone)
    moment = given.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == given.replace(tzinfo=None):
        return moment
    # In a gap the two readings of the time lie on both sides of it; what is shown at its end is the time plus the gap's rest.
    later, earlier = moment, given.replace(fold=1).astimezone(UTC)
    low, high = min(later, earlier), max(later, earlier)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)


def _time(given: Mapping[str, Any], name: str) -> time:
    try:
        found = time.fromisoformat(str(given.get(name, "")))
    except ValueError:
        raise BadSettings(name, "Give a time of the site's clock, such as 16:00.") from None
    if found.tzinfo is not None:
        raise BadSettings(name, "Give a time of the site's clock, without an offset.")
    return found.replace(second=0, microsecond=0)


def _date(given: Mapping[str, Any], name: str) -> date | None:
    if given.get(name) in (None, ""):
        return None
    try:
        return date.fromisoformat(str(given[name]))
    except ValueError:
        raise BadSettings(name, "Give a day such as 2027-06-01.") from None
