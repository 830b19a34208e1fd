"""Times that people give for a site: without an offset they are the site's own clock, which skips an hour and repeats one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hosting.models import Site


class NoSuchTime(ValueError):
    """The site's clock never shows this time, or shows it twice; the message says what to give."""


def site_moment(given: datetime | str, site: Site) -> datetime:
    """The moment that is meant. Raises NoSuchTime."""
    moment = _parsed(given)
    zone = ZoneInfo(site.time_zone)
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        shown = first.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise NoSuchTime(f"{given} cannot be: give a time near the present.") from None
    if shown != moment:
        raise NoSuchTime(f"{moment:%Y-%m-%d %H:%M} does not exist in {site.time_zone}: the clock goes forward then.")
    if first != second:
        choices = " or ".join(one.astimezone(zone).isoformat(timespec="minutes") for one in (first, second))
        raise NoSuchTime(f"{moment:%Y-%m-%d %H:%M} comes twice in {site.time_zone}: give {choices}.")
    return first


def _parsed(given: datetime | str) -> datetime:
    if isinstance(given, datetime):
        return given
    try:
        return datetime.fromisoformat(given.strip())
    except ValueError:
        raise NoSuchTime(f"{given} is no time: give one such as 2026-11-23T17:00 or 2026-11-23T17:00+01:00.") from None
