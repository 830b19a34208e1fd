"""Carrying deliveries out: claims by one statement, leases instead of open transactions, a wait for each endpoint of its own.

An endpoint that fails is held as a whole, and out of a hold comes one probe; what waits behind it costs nobody else anything.
Deliveries of one thing to one endpoint go in order.
"""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection

from events.models import EndpointKind, EventDelivery, EventEndpoint
from events.sinks import mail, stream
from events.sinks.endpoints import disable, live_secrets
from events.sinks.webhook import Answer, Envelope, send_async
from minefarm.lib.sealing import Unreadable

log = logging.getLogger(__name__)

LEASE_S = 60.0
TIMEOUT_S = 15.0
AT_ONCE = 20  # posts on their way at the same time
PER_ENDPOINT = {EndpointKind.WEBHOOK: 4, EndpointKind.EMAIL: 100, EndpointKind.STREAM: 100}
# Seconds after the first, second, ... failed attempt of a delivery: three days in all.
BACKOFF_S = (5, 30, 120, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MAX_ATTEMPTS = len(BACKOFF_S) + 1
# Seconds that an endpoint is left alone after so many failures on end.
HOLD_S = (0, 1, 5, 15, 60, 120, 300, 600)
MAIL_QUIET_S = 300

# The lateral limits are the fairness: an endpoint with 100,000 waiting takes no more of a claim than one with three.
CLAIM = """
WITH open AS MATERIALIZED (
    SELECT e.id, e.failures > 0 AS failing FROM event_endpoints e
    WHERE e.kind = %(kind)s AND e.status = 'enabled' AND (e.held_until IS NULL OR e.held_until <= clock_timestamp())
), healthy AS (
    SELECT found.id FROM open CROSS JOIN LATERAL (
        SELECT d.id FROM event_deliveries d
        WHERE d.endpoint_id = open.id AND {due} ORDER BY d.next_attempt_at, d.id LIMIT %(each)s FOR UPDATE SKIP LOCKED
    ) AS found WHERE NOT open.failing LIMIT %(most)s
), probes AS (
    SELECT found.id FROM open CROSS JOIN LATERAL (
        SELECT d.id FROM event_deliveries d
        WHERE d.endpoint_id = open.id AND {due} ORDER BY d.next_attempt_at, d.id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS found
    WHERE open.failing AND NOT EXISTS (
        SELECT FROM event_deliveries b
        WHERE b.endpoint_id = open.id AND b.status = 'pending' AND b.locked_until > clock_timestamp())
    LIMIT %(most)s
)
UPDATE event_deliveries d SET attempts = d.attempts + 1, locked_by = %(holder)s,
    locked_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE d.id IN (SELECT id FROM healthy UNION ALL SELECT id FROM probes) RETURNING d.id
"""
DUE = """d.status = 'pending' AND d.next_attempt_at <= clock_timestamp()
    AND (d.locked_until IS NULL OR d.locked_until < clock_timestamp())"""
FIRST_OF_ITS_THING = """ AND NOT EXISTS (
    SELECT FROM event_deliveries p WHERE p.endpoint_id = d.endpoint_id AND p.aggregate_key = d.aggregate_key
        AND p.status = 'pending' AND p.id < d.id)"""
# A mail or a stream takes many at once, in order; a webhook one at a time of each thing.
CLAIMS = {
    EndpointKind.WEBHOOK: CLAIM.format(due=DUE + FIRST_OF_ITS_THING),
    EndpointKind.EMAIL: CLAIM.format(due=DUE),
    EndpointKind.STREAM: CLAIM.format(due=DUE),
}
FENCE = "id = %(id)s AND status = 'pending' AND locked_by = %(holder)s AND attempts = %(attempts)s"
SUCCEED = f"""
UPDATE event_deliveries SET status = 'processed', processed_at = clock_timestamp(), locked_until = NULL, last_error = NULL,
    response_status = %(status)s, response_excerpt = %(excerpt)s, duration_ms = %(duration_ms)s
WHERE {FENCE}
"""
FAIL = f"""
UPDATE event_deliveries SET locked_until = NULL, last_error = left(%(error)s, 2000),
    response_status = %(status)s, response_excerpt = %(excerpt)s, duration_ms = %(duration_ms)s,
    status = CASE WHEN attempts >= %(most)s THEN 'failed' ELSE 'pending' END,
    processed_at = CASE WHEN attempts >= %(most)s THEN clock_timestamp() END,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(wait_s)s)
WHERE {FENCE}
RETURNING next_attempt_at, status
"""
# What stands behind it waits as long: otherwise every claim would look at all of it first.
PARK = """
UPDATE event_deliveries SET next_attempt_at = %(until)s
WHERE endpoint_id = %(endpoint)s AND aggregate_key = %(aggregate)s AND status = 'pending' AND id > %(id)s
    AND next_attempt_at < %(until)s AND locked_until IS NULL
"""
ENDPOINT_WELL = """
UPDATE event_endpoints SET failures = 0, failing_since = NULL, last_success_at = clock_timestamp(),
    held_until = CASE WHEN %(quiet_s)s > 0 THEN clock_timestamp() + make_interval(secs => %(quiet_s)s) END
WHERE id = %(endpoint)s
"""
ENDPOINT_ILL = """
UPDATE event_endpoints SET failures = failures + 1, failing_since = COALESCE(failing_since, clock_timestamp()),
    held_until = GREATEST(held_until, clock_timestamp() + make_interval(
        secs => GREATEST(%(retry_after_s)s, (%(hold_s)s::double precision[])[LEAST(failures + 1, %(steps)s)] * %(jitter)s)))
WHERE id = %(endpoint)s
RETURNING failing_since < clock_timestamp() - make_interval(days => %(days)s)
"""


@dataclass
class Claimed:
    """Deliveries that are ours until the lease ends."""

    holder: str
    deliveries: list[EventDelivery] = field(default_factory=list)


def pump(deadline: float) -> int:
    """Carry out what is due until nothing is, or time.monotonic() is past the deadline; how many got an answer."""
    answered = 0
    while time.monotonic() < deadline:
        round_answered = sum(_round(kind) for kind in EndpointKind)
        answered += round_answered
        if not round_answered:
            break
    return answered


def _round(kind: EndpointKind) -> int:
    claimed = claim(kind)
    if not claimed.deliveries:
        return 0
    answers = SENDERS[kind](claimed.deliveries)
    for delivery, answer in zip(claimed.deliveries, answers, strict=True):
        record(claimed.holder, delivery, answer)
    return len(answers)


def claim(kind: EndpointKind) -> Claimed:
    """Take what is due, a few of each endpoint, for LEASE_S seconds."""
    holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIMS[kind],
            {
                "kind": kind.value,
                "each": PER_ENDPOINT[kind],
                "most": AT_ONCE if kind == EndpointKind.WEBHOOK else 1000,
                "holder": holder,
                "lease_s": LEASE_S,
            },
        )
        ids = [number for (number,) in cursor.fetchall()]
    if not ids:
        return Claimed(holder)
    found = EventDelivery.objects.filter(pk__in=ids).select_related("event", "endpoint").order_by("pk")
    return Claimed(holder, list(found))


def record(holder: str, delivery: EventDelivery, answer: Answer) -> None:
    """Write the answer down, if the delivery is still ours, and what it says of the endpoint."""
    values: dict[str, Any] = {
        "id": delivery.pk,
        "holder": holder,
        "attempts": delivery.attempts,
        "status": answer.status,
        "excerpt": answer.excerpt or None,
        "duration_ms": answer.duration_ms,
    }
    endpoint = delivery.endpoint
    with connection.cursor() as cursor:
        if answer.ok:
            cursor.execute(SUCCEED, values)
            quiet_s = MAIL_QUIET_S if endpoint.kind == EndpointKind.EMAIL else 0
            cursor.execute(ENDPOINT_WELL, {"endpoint": endpoint.pk, "quiet_s": quiet_s})
            return
        error = answer.error or f"answered {answer.status}"
        wait_s = BACKOFF_S[min(delivery.attempts, len(BACKOFF_S)) - 1] * _jitter()
        wait_s = max(wait_s, answer.retry_after_s or 0.0)
        cursor.execute(FAIL, values | {"error": error, "most": MAX_ATTEMPTS, "wait_s": wait_s})
        row = cursor.fetchone()
        if row and row[1] == "pending":
            about: dict[str, Any] = {"endpoint": endpoint.pk, "aggregate": delivery.aggregate_key, "id": delivery.pk}
            cursor.execute(PARK, about | {"until": row[0]})
        cursor.execute(
            ENDPOINT_ILL,
            {
                "endpoint": endpoint.pk,
                "hold_s": list(HOLD_S),
                "steps": len(HOLD_S),
                "jitter": _jitter(),
                "retry_after_s": answer.retry_after_s or 0.0,
                "days": settings.WEBHOOK_DISABLE_AFTER_DAYS,
            },
        )
        for_days = bool((cursor.fetchone() or (False,))[0])
    log.info("delivery %s to endpoint %s failed: %s", delivery.pk, endpoint.pk, error)
    if answer.gone:
        disable(endpoint, reason="The receiver answered 410 Gone.")
    elif for_days:
        days = settings.WEBHOOK_DISABLE_AFTER_DAYS
        disable(endpoint, reason=f"Every attempt of the last {days} days failed; the last one: {error}")


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311  spreads load, keeps no secret


def _post(deliveries: Sequence[EventDelivery]) -> list[Answer]:
    async def one(delivery: EventDelivery) -> Answer:
        secrets = keys[delivery.endpoint_id]
        if secrets is None:
            return mail.failed(
                "the secret cannot be read: rotate it, or restore SECRET_KEY_FALLBACKS", time.monotonic()
            )
        target, event = delivery.endpoint.target, envelope(delivery)
        return await send_async(target, secrets=secrets, event=event, timeout_s=TIMEOUT_S)

    async def all_of_them() -> list[Answer]:
        return list(await asyncio.gather(*(one(delivery) for delivery in deliveries)))

    keys = {delivery.endpoint_id: _secrets(delivery.endpoint) for delivery in deliveries}
    return asyncio.run(all_of_them())


def _secrets(endpoint: EventEndpoint) -> list[str] | None:
    try:
        return live_secrets(endpoint)
    except Unreadable:
        return None


def _mail(deliveries: Sequence[EventDelivery]) -> list[Answer]:
    return _by_endpoint(deliveries, mail.send)


def _append(deliveries: Sequence[EventDelivery]) -> list[Answer]:
    return _by_endpoint(deliveries, stream.send)


def _by_endpoint(deliveries: Sequence[EventDelivery], send: "mail.Sender") -> list[Answer]:
    """One call for all that goes to an endpoint; each delivery gets the answer of its call."""
    groups: dict[int, list[EventDelivery]] = {}
    for delivery in deliveries:
        groups.setdefault(delivery.endpoint_id, []).append(delivery)
    answers = {
        endpoint_id: send(group[0].endpoint, [envelope(delivery) for delivery in group])
        for endpoint_id, group in groups.items()
    }
    return [answers[delivery.endpoint_id] for delivery in deliveries]


SENDERS = {EndpointKind.WEBHOOK: _post, EndpointKind.EMAIL: _mail, EndpointKind.STREAM: _append}


def envelope(delivery: EventDelivery) -> Envelope:
    """What every receiver is told of an event."""
    event = delivery.event
    return Envelope(
        id=str(event.event_uuid),
        type=event.event_type,
        timestamp=event.created_at,
        data=event.payload,
        version=event.version,
        aggregate=event.aggregate_key,
        sequence=event.aggregate_seq,
    )


def waiting(endpoint: EventEndpoint) -> int:
    """Deliveries that the endpoint has not answered yet."""
    return EventDelivery.objects.filter(endpoint=endpoint, status="pending").count()
