"""Publishing: an event exists exactly when the transaction that made it happen commits."""

from collections.abc import Iterable

from django.db import connection

from events.models import OutboxEvent


class OutsideTransaction(RuntimeError):
    """An event published outside a transaction could outlive the change that it reports."""


def publish(event_type: str, **payload: object) -> OutboxEvent:
    """Record one event with ids and plain JSON values; raises OutsideTransaction."""
    return publish_many(event_type, [payload])[0]


def publish_many(event_type: str, payloads: Iterable[dict[str, object]]) -> list[OutboxEvent]:
    """Record one event per payload in a single statement; raises OutsideTransaction."""
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"publish({event_type!r}) belongs inside transaction.atomic()")
    return OutboxEvent.objects.bulk_create(OutboxEvent(event_type=event_type, payload=payload) for payload in payloads)
