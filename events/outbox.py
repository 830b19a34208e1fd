"""Publishing: an event exists exactly when the transaction that made it happen commits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from events.models import OutboxEvent, OutboxStatus

# Locks the rows of the aggregates in one order, so that two publishers of the same things cannot wait for each other.
NUMBER = """
INSERT INTO outbox_aggregates AS known (aggregate_key, last_seq)
SELECT key, count(*) FROM unnest(%s::text[]) AS key GROUP BY key ORDER BY key
ON CONFLICT (aggregate_key) DO UPDATE SET last_seq = known.last_seq + EXCLUDED.last_seq
RETURNING aggregate_key, last_seq
"""


class OutsideTransaction(RuntimeError):
    """An event published outside a transaction could outlive the change that it reports."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to report: `about` is the aggregate (`miner:17`), `client_id` the customer who may hear of it."""

    about: str
    payload: Mapping[str, Any]
    client_id: UUID | None = None
    dedupe_key: str | None = None


def publish(
    event_type: str,
    *,
    about: str,
    client_id: UUID | None = None,
    dedupe_key: str | None = None,
    **payload: object,
) -> OutboxEvent:
    """Record one event with ids and plain JSON values; raises OutsideTransaction."""
    return publish_many(event_type, [Fact(about, payload, client_id, dedupe_key)])[0]


def publish_many(event_type: str, facts: Iterable[Fact]) -> list[OutboxEvent]:
    """Record one event per fact in two statements; raises OutsideTransaction."""
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"publish({event_type!r}) belongs inside transaction.atomic()")
    facts = list(facts)
    if not facts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(NUMBER, [[fact.about for fact in facts]])
        newest: dict[str, int] = dict(cursor.fetchall())
    events = []
    for fact in reversed(facts):
        events.append(
            OutboxEvent(
                event_type=event_type,
                aggregate_key=fact.about,
                aggregate_seq=newest[fact.about],
                client_id=fact.client_id,
                dedupe_key=fact.dedupe_key,
                payload=dict(fact.payload),
            )
        )
        newest[fact.about] -= 1
    return OutboxEvent.objects.bulk_create(reversed(events))


def replay(queryset: QuerySet[OutboxEvent], *, by: UUID | None) -> int:
    """Stand-in of the doors' branch: the branch of the dispatcher replaces it."""
    done = queryset.filter(status__in=[OutboxStatus.FAILED, OutboxStatus.PROCESSED])
    return done.update(status=OutboxStatus.PENDING, attempts=0, next_attempt_at=Now(), processed_at=None)


def cancel(queryset: QuerySet[OutboxEvent], *, by: UUID | None) -> int:
    """Stand-in of the doors' branch: the branch of the dispatcher replaces it."""
    waiting = queryset.filter(status=OutboxStatus.PENDING)
    return waiting.update(status=OutboxStatus.FAILED, last_error="cancelled", processed_at=Now())
