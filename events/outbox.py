"""Publishing: an event exists exactly when the transaction that made it happen commits."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from events.catalogue import CATALOGUE, MAX_PAYLOAD_BYTES, EventType, UnfitEvent, payload_bytes
from events.models import EventInbox, OutboxEvent, OutboxStatus

log = logging.getLogger(__name__)

CHANNEL = "outbox_events"  # a NOTIFY on it wakes waiting dispatchers

# Locks the rows of the aggregates in one order, so that two publishers of the same things cannot wait for each other.
NUMBER = """
INSERT INTO outbox_aggregates AS known (aggregate_key, last_seq)
SELECT key, sum(added) FROM unnest(%s::text[], %s::int[]) AS fact (key, added) GROUP BY key ORDER BY key
ON CONFLICT (aggregate_key) DO UPDATE SET last_seq = known.last_seq + EXCLUDED.last_seq
RETURNING aggregate_key, last_seq
"""


class OutsideTransaction(RuntimeError):
    """An event published outside a transaction could outlive the change that it reports."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to report: `about` is the aggregate (`miner:17`), `client_id` the customer who may hear of it.

    A `dedupe_key` is written once, whoever publishes it again. It should belong to one aggregate: when two transactions
    publish the same key about two things at the same moment, the later one leaves a gap in its thing's numbers.
    """

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
) -> OutboxEvent | None:
    """Record one event with ids and plain JSON values; None when its dedupe key is known already.

    Raises OutsideTransaction, and UnfitEvent for what the catalogue does not describe (in production that is only logged,
    and the event is stored) or for a payload above 20,000 bytes.
    """
    stored = publish_many(event_type, [Fact(about, payload, client_id, dedupe_key)])
    return stored[0] if stored else None


def publish_many(event_type: str, facts: Iterable[Fact]) -> list[OutboxEvent]:
    """Record one event per fact in a few statements; returns those written. Raises as `publish` does."""
    if not connection.in_atomic_block:
        raise OutsideTransaction(f"publish({event_type!r}) belongs inside transaction.atomic()")
    facts = list(facts)
    version = fitting_version(event_type, facts)
    if any(fact.dedupe_key is not None for fact in facts):
        _number(facts, added=0)  # lock first: whoever published one of these keys has committed by then
        facts = _unknown(facts)
    if not facts:
        return []
    newest = _number(facts, added=1)
    events = []
    for fact in reversed(facts):
        events.append(
            OutboxEvent(
                event_type=event_type,
                version=version,
                aggregate_key=fact.about,
                aggregate_seq=newest[fact.about],
                client_id=fact.client_id,
                dedupe_key=fact.dedupe_key,
                payload=dict(fact.payload),
            )
        )
        newest[fact.about] -= 1
    events.reverse()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])  # PostgreSQL sends it once per transaction, at its commit
    if all(event.dedupe_key is None for event in events):
        return OutboxEvent.objects.bulk_create(events)
    OutboxEvent.objects.bulk_create(events, ignore_conflicts=True)
    return list(OutboxEvent.objects.filter(event_uuid__in=[event.event_uuid for event in events]).order_by("id"))


def fitting_version(event_type: str, facts: Sequence[Fact]) -> int:
    """Version of the type as the catalogue has it, after a look at every payload."""
    for fact in facts:
        if (size := payload_bytes(fact.payload)) > MAX_PAYLOAD_BYTES:
            raise UnfitEvent(
                f"{event_type} about {fact.about} has {size} bytes, {MAX_PAYLOAD_BYTES} are allowed:"
                " publish ids, and let the receiver fetch the rest."
            )
    described_type = CATALOGUE.get(event_type)
    problem = _misfit(described_type, facts) if described_type else "it is not in the catalogue"
    if problem:
        text = f"{event_type} does not fit events/catalogue.py: {problem}."
        if not settings.PRODUCTION:
            raise UnfitEvent(text)
        log.error("%s The event is stored all the same.", text)
    return described_type.version if described_type else 1


def _misfit(described_type: EventType, facts: Sequence[Fact]) -> str | None:
    for fact in facts:
        if problem := described_type.problem(fact.payload):
            return f"about {fact.about}, {problem}"
    return None


def _number(facts: Sequence[Fact], *, added: int) -> dict[str, int]:
    """Lock the facts' aggregates and take `added` numbers per fact; the newest number of each."""
    with connection.cursor() as cursor:
        cursor.execute(NUMBER, [[fact.about for fact in facts], [added] * len(facts)])
        return dict(cursor.fetchall())


def _unknown(facts: Sequence[Fact]) -> list[Fact]:
    """The facts whose dedupe key is neither stored nor earlier in the list."""
    keys = {fact.dedupe_key for fact in facts if fact.dedupe_key is not None}
    seen = set(OutboxEvent.objects.filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True))
    fresh = []
    for fact in facts:
        if fact.dedupe_key is not None:
            if fact.dedupe_key in seen:
                continue
            seen.add(fact.dedupe_key)
        fresh.append(fact)
    return fresh


# An event under a live lease is being handled at this moment: neither verb touches it.
AT_REST = Q(locked_until=None) | Q(locked_until__lt=Now())
REPLAYABLE = Q(status__in=[OutboxStatus.PROCESSED, OutboxStatus.FAILED]) | Q(status=OutboxStatus.PENDING) & AT_REST
CANCELLABLE = Q(status=OutboxStatus.PENDING) & AT_REST


@transaction.atomic
def replay(events: QuerySet[OutboxEvent], *, handlers_again: bool = False, by: object) -> int:
    """Send these events again from their first attempt, under their old identity; how many will be.

    Consumers that have handled an event are asked again only with `handlers_again`. Events that are being handled at this
    moment are left alone.
    """
    chosen = OutboxEvent.objects.filter(REPLAYABLE, pk__in=events.values("pk"))
    if handlers_again:
        uuids = list(chosen.select_for_update(no_key=True).order_by("id").values_list("event_uuid", flat=True))
        EventInbox.objects.filter(consumer__in=_consumers_seen(), event_uuid__in=uuids).delete()
    count = chosen.update(
        status=OutboxStatus.PENDING,
        attempts=0,
        next_attempt_at=Now(),
        locked_until=None,
        locked_by=None,
        last_error=None,
        processed_at=None,
    )
    log.info("%s replays %d events%s", by, count, ", all handlers again" if handlers_again else "")
    return count


@transaction.atomic
def cancel(events: QuerySet[OutboxEvent], *, by: object) -> int:
    """Give up on pending events: they become failed, and what waits behind them goes on. How many were given up."""
    chosen = OutboxEvent.objects.filter(CANCELLABLE, pk__in=events.values("pk"))
    keys = set(chosen.values_list("aggregate_key", flat=True))
    count = chosen.update(
        status=OutboxStatus.FAILED, last_error=f"cancelled by {by}", locked_until=None, locked_by=None
    )
    OutboxEvent.objects.filter(CANCELLABLE, aggregate_key__in=keys, attempts=0, next_attempt_at__gt=Now()).update(
        next_attempt_at=Now()
    )
    log.info("%s cancels %d events", by, count)
    return count


def _consumers_seen() -> list[str]:
    """Names in the inbox, so that its key (consumer, event_uuid) serves the look-up by event."""
    return list(EventInbox.objects.order_by("consumer").values_list("consumer", flat=True).distinct())
