"""Waiting for the next publication on a connection of its own: a pooled or busy one would miss the call."""

from collections.abc import Generator
from typing import Any, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection

from events.outbox import CHANNEL


class Wakeup:
    """Hears PostgreSQL's NOTIFY of `publish`. Only a hint: whoever waits must also look by himself now and then."""

    def __init__(self) -> None:
        self._wrapper: BaseDatabaseWrapper | None = None

    def wait(self, seconds: float) -> bool:
        """Return when something was published, True, or when the time is over. Raises OperationalError."""
        try:
            calls = cast("Generator[Any]", self._listening().notifies(timeout=seconds, stop_after=1))
            return any(True for _ in calls)
        except psycopg.OperationalError as error:
            raise OperationalError(str(error)) from error

    def _listening(self) -> "Connection[Any]":
        if self._wrapper is None:
            self._wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
            self._wrapper.ensure_connection()
            self._wrapper.set_autocommit(autocommit=True)
            cast("Connection[Any]", self._wrapper.connection).execute(f"LISTEN {CHANNEL}")
        return cast("Connection[Any]", self._wrapper.connection)

    def close(self) -> None:
        if self._wrapper is not None:
            self._wrapper.close()
            self._wrapper = None
