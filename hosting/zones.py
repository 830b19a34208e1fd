"""Time zones of sites: names of the IANA database that both Python and PostgreSQL know."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.db import DataError, connection, transaction

HALF_HOUR_CHANGES = {"Australia/Lord_Howe", "Australia/LHI"}


@cache
def _names() -> frozenset[str]:
    # "localtime" and the like mean another thing on each host.
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


def validate_time_zone(name: str) -> None:
    """Refuse what is no IANA name such as Europe/Berlin, or what this PostgreSQL does not know."""
    if name not in _names():
        raise ValidationError(f"{name} is no time zone: give an IANA name such as Europe/Berlin or UTC.")
    if name in HALF_HOUR_CHANGES:
        raise ValidationError(f"The clock of {name} changes by half an hour, which the ledger's hours cannot follow.")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT now() AT TIME ZONE %s", [name])
    except DataError as error:
        raise ValidationError(f"PostgreSQL does not know the time zone {name}: choose a city nearby.") from error


def minutes_past_the_hour(name: str) -> int:
    """Minutes of the zone's clock at a full hour of UTC: 30 for Asia/Kolkata, 0 for most."""
    offset = datetime.now(UTC).astimezone(ZoneInfo(name)).utcoffset() or timedelta()
    return int(offset.total_seconds()) // 60 % 60
