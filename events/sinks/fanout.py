"""From an event to its deliveries: one row for each endpoint that may hear of it."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from uuid import UUID

from django.db import connection

from events.handlers import batch_handler
from events.models import EndpointKind, EndpointStatus, EventEndpoint, OutboxEvent
from events.owners import Owner, owners

# Goes to the endpoint that asked for it and to no other: `send_test` makes its delivery itself.
TEST = "webhook.test"
INSERT = """
INSERT INTO event_deliveries (endpoint_id, event_id, aggregate_key)
SELECT e.id, wanted.event_id, wanted.aggregate_key
FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS wanted (endpoint_id, event_id, aggregate_key)
JOIN event_endpoints e ON e.id = wanted.endpoint_id  -- one that was deleted meanwhile is left out
ORDER BY wanted.event_id, e.id
ON CONFLICT (event_id, endpoint_id) DO NOTHING
"""


@batch_handler("*", consumer="sinks")
def fan_out(events: Sequence[OutboxEvent]) -> None:
    """Write the deliveries of these events, in two statements whatever their number; those that are there stay as they are.

    Who may hear of an event is decided now: a person who is disabled, or an endpoint that is paused, misses it.
    """
    listening = list(EventEndpoint.objects.filter(status=EndpointStatus.ENABLED).order_by("pk"))
    if not listening:
        return
    people = owners(endpoint.owner_id for endpoint in listening)
    audience: dict[tuple[str, UUID | None], list[int]] = {}
    endpoint_ids: list[int] = []
    event_ids: list[int] = []
    aggregates: list[str] = []
    for event in events:
        if event.event_type == TEST:
            continue
        about = (event.event_type, event.client_id)
        if about not in audience:
            audience[about] = [
                endpoint.pk for endpoint in listening if _hears(endpoint, people.get(endpoint.owner_id), *about)
            ]
        for endpoint_id in audience[about]:
            endpoint_ids.append(endpoint_id)
            event_ids.append(event.pk)
            aggregates.append(event.aggregate_key)
    if endpoint_ids:
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [endpoint_ids, event_ids, aggregates])


def _hears(endpoint: EventEndpoint, owner: Owner | None, event_type: str, client_id: UUID | None) -> bool:
    if owner is None or not owner.may_hear_of(client_id):
        return False
    if endpoint.kind == EndpointKind.STREAM and not owner.is_staff:
        return False
    return not endpoint.event_types or matches(event_type, endpoint.event_types)


def matches(event_type: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns names the type: exactly, or as `miner.*`."""
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)
