"""The database's clock: the one clock that all processes of a farm share."""

from datetime import datetime

from django.db import connection


def database_minute() -> datetime:
    """Start of the current minute by the database's clock, timezone-aware."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT date_trunc('minute', clock_timestamp())")
        row: tuple[datetime] = cursor.fetchone()
    return row[0]


def database_now() -> datetime:
    """The database's clock at the moment of the call, not of the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row: tuple[datetime] = cursor.fetchone()
    return row[0]
