"""Events into a Redis stream, for the farm's own programs: staff only, bounded in length."""

import time
from collections.abc import Sequence
from typing import Any

import orjson
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from events.models import EventEndpoint
from events.sinks.mail import answered, failed
from events.sinks.webhook import Answer, Envelope

PREFIX = "minefarm:events:"
TIMEOUT_S = 5.0


def send(endpoint: EventEndpoint, events: Sequence[Envelope]) -> Answer:
    """Append the events, oldest first; `id` tells a repeat, as with webhooks."""
    started = time.monotonic()
    server = Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    try:
        with server, server.pipeline(transaction=True) as line:
            for event in events:
                line.xadd(
                    PREFIX + endpoint.target, fields(event), maxlen=settings.EVENTS_STREAM_MAXLEN, approximate=True
                )
            line.execute()
    except (RedisError, OSError) as error:
        return failed(f"{type(error).__name__}: {error}", started)
    return answered(started)


def fields(event: Envelope) -> dict[Any, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "timestamp": event.timestamp.isoformat(),
        "version": event.version,
        "aggregate": event.aggregate,
        "sequence": event.sequence,
        "data": orjson.dumps(event.data),
    }
