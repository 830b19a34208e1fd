"""Consumers inside the project: who hears of which events, each event's database effects exactly once.

    @handler("miner.*", consumer="maintenance tickets")
    def open_ticket(event: OutboxEvent) -> None: ...

An upper app registers its handlers in `AppConfig.ready()`. A handler runs in a transaction that begins with the row
(consumer, event_uuid) of `event_inbox`: what it writes is committed with that row or not at all, and an event that comes
again does nothing. What it does outside the database may happen twice. It must end within the lease of 60 seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from uuid import UUID

from django.db import connection, transaction

from events.models import OutboxEvent

One = Callable[[OutboxEvent], None]
Many = Callable[[Sequence[OutboxEvent]], None]


@dataclass(frozen=True, slots=True)
class Consumer:
    """A handler under the name that the inbox remembers: renaming it makes it hear of replayed events again."""

    name: str
    pattern: str
    handle: Many
    batched: bool


_consumers: dict[str, Consumer] = {}


def handler(pattern: str, *, consumer: str) -> Callable[[One], One]:
    """Register a function that is called with each event whose type fits the pattern, in the order of its thing."""

    def register(function: One) -> One:
        def each(events: Sequence[OutboxEvent]) -> None:
            for event in events:
                function(event)

        _add(Consumer(consumer, pattern, each, batched=False))
        return function

    return register


def batch_handler(pattern: str, *, consumer: str) -> Callable[[Many], Many]:
    """Register a function that is called with a list of events in one transaction, oldest first.

    When it fails, it is called again with one event at a time, so that one bad event stops only its own thing.
    """

    def register(function: Many) -> Many:
        _add(Consumer(consumer, pattern, function, batched=True))
        return function

    return register


def _add(consumer: Consumer) -> None:
    if consumer.name in _consumers:
        raise ValueError(f"Two handlers are called {consumer.name!r}: the inbox could not tell them apart. Rename one.")
    _consumers[consumer.name] = consumer
    _hearing.cache_clear()


def unregister(consumer: str) -> None:
    """Forget a handler: for tests that register their own."""
    _consumers.pop(consumer, None)
    _hearing.cache_clear()


@cache
def _hearing(event_type: str) -> tuple[Consumer, ...]:
    return tuple(consumer for consumer in _consumers.values() if fnmatchcase(event_type, consumer.pattern))


def batch_consumers() -> list[Consumer]:
    return [consumer for consumer in _consumers.values() if consumer.batched]


def single_consumers(event: OutboxEvent) -> list[Consumer]:
    return [consumer for consumer in _hearing(event.event_type) if not consumer.batched]


def hears(consumer: Consumer, event: OutboxEvent) -> bool:
    return consumer in _hearing(event.event_type)


ENTER = """
INSERT INTO event_inbox (consumer, event_uuid) SELECT %s, uuid FROM unnest(%s::uuid[]) AS uuid ORDER BY uuid
ON CONFLICT DO NOTHING RETURNING event_uuid
"""


def consume(consumer: Consumer, events: Sequence[OutboxEvent]) -> None:
    """Let the consumer handle those of the events that it has not, in one transaction; raises what the handler raises."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(ENTER, [consumer.name, [event.event_uuid for event in events]])
            new: set[UUID] = {uuid for (uuid,) in cursor.fetchall()}
        fresh = [event for event in events if event.event_uuid in new]
        if fresh:
            consumer.handle(fresh)
