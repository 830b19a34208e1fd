"""Events by mail: one mail with what has come together, to the endpoint's owner and nobody else."""

import time
from collections.abc import Callable, Sequence

from django.core.mail import EmailMessage, get_connection

from events.catalogue import CATALOGUE
from events.models import EventEndpoint
from events.owners import owners
from events.sinks.webhook import Answer, Envelope

Sender = Callable[[EventEndpoint, Sequence[Envelope]], Answer]

TIMEOUT_S = 15
LINE_LENGTH = 400


def send(endpoint: EventEndpoint, events: Sequence[Envelope]) -> Answer:
    """Mail the events to the address that the owner has now, whatever was registered."""
    started = time.monotonic()
    owner = owners([endpoint.owner_id]).get(endpoint.owner_id)
    if owner is None or not owner.is_active:
        return failed("the owner is not active", started)
    count = len(events)
    what = events[0].type if count == 1 else f"{count} events"
    text = "\n".join(
        [*(line(event) for event in events), "", "Endpoints of this account: page Webhooks of the portal."]
    )
    message = EmailMessage(f"MineFarm: {what}", text, to=[owner.email], connection=get_connection(timeout=TIMEOUT_S))
    try:
        message.send()
    except Exception as error:  # noqa: BLE001  mail back ends raise what they like
        return failed(f"{type(error).__name__}: {error}", started)
    return answered(started)


def line(event: Envelope) -> str:
    known = CATALOGUE.get(event.type)
    told = ", ".join(f"{name} {value}" for name, value in event.data.items() if value is not None)
    return f"{event.timestamp:%Y-%m-%d %H:%M} UTC  {event.type} ({known.when if known else 'event'}): {told}"[
        :LINE_LENGTH
    ]


def answered(started: float) -> Answer:
    return Answer(
        ok=True,
        status=None,
        excerpt="",
        error=None,
        gone=False,
        retry_after_s=None,
        duration_ms=round((time.monotonic() - started) * 1000),
    )


def failed(error: str, started: float) -> Answer:
    return Answer(
        ok=False,
        status=None,
        excerpt="",
        error=error,
        gone=False,
        retry_after_s=None,
        duration_ms=round((time.monotonic() - started) * 1000),
    )
