"""Endpoints: who is sent what. Stand-in of the doors' branch; the branch of the sinks replaces this file."""

import base64
import logging
import secrets
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from events.models import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint, OutboxStatus
from events.outbox import publish
from events.registration import known_types
from minefarm.lib.sealing import seal

log = logging.getLogger(__name__)

PURPOSE = "webhook"
OVERLAP = timedelta(hours=24)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def create_endpoint(
    owner_id: UUID, kind: str, target: str, event_types: Iterable[str] = (), description: str = "", *, by: UUID | None
) -> tuple[EventEndpoint, str]:
    """Raises ValidationError by field; the secret is returned here and never again."""
    if kind == EndpointKind.WEBHOOK and not target.startswith("https://"):
        raise ValidationError({"target": "Give an address that starts with https://."})
    event_types = known_types(event_types)
    secret = _new_secret()
    endpoint = EventEndpoint.objects.create(
        owner_id=owner_id,
        kind=kind,
        target=target,
        event_types=event_types,
        description=description,
        secret=seal(secret, purpose=PURPOSE),
    )
    log.info("%s registers endpoint %s", by, endpoint.pk)
    return endpoint, secret


def rotate_secret(endpoint: EventEndpoint, *, by: UUID | None, overlap: timedelta = OVERLAP) -> str:
    secret = _new_secret()
    endpoint.previous_secret = endpoint.secret
    endpoint.previous_secret_until = timezone.now() + overlap
    endpoint.secret = seal(secret, purpose=PURPOSE)
    endpoint.save(update_fields=["secret", "previous_secret", "previous_secret_until", "updated_at"])
    log.info("%s rotates the secret of endpoint %s", by, endpoint.pk)
    return secret


def _move(endpoint: EventEndpoint, to: str, *, sources: Iterable[str], by: UUID | None) -> None:
    moved = EventEndpoint.objects.filter(pk=endpoint.pk, status__in=list(sources)).update(
        status=to, status_reason="", updated_at=timezone.now()
    )
    if not moved:
        raise ValidationError({"status": f"It is {endpoint.status}: reload the page."})
    endpoint.refresh_from_db()
    log.info("%s makes endpoint %s %s", by, endpoint.pk, to)


def pause(endpoint: EventEndpoint, *, by: UUID | None) -> None:
    _move(endpoint, EndpointStatus.PAUSED, sources=[EndpointStatus.ENABLED], by=by)


def resume(endpoint: EventEndpoint, *, by: UUID | None) -> None:
    _move(endpoint, EndpointStatus.ENABLED, sources=[EndpointStatus.PAUSED, EndpointStatus.DISABLED], by=by)


def send_test(endpoint: EventEndpoint, *, by: UUID | None) -> EventDelivery:
    log.info("%s tests endpoint %s", by, endpoint.pk)
    with transaction.atomic():
        event = publish("webhook.test", about=f"endpoint:{endpoint.pk}", message="Hello")
        if event is None:  # only with a dedupe key
            raise RuntimeError("a test event without a key of its own was published before")
        return EventDelivery.objects.create(endpoint=endpoint, event=event, aggregate_key=event.aggregate_key)


def redeliver(delivery: EventDelivery, *, by: UUID | None) -> EventDelivery:
    moved = EventDelivery.objects.filter(~Q(status=OutboxStatus.PENDING), pk=delivery.pk).update(
        status=OutboxStatus.PENDING, attempts=0, next_attempt_at=timezone.now(), processed_at=None
    )
    if not moved:
        raise ValidationError("It is on its way already.")
    delivery.refresh_from_db()
    log.info("%s sends delivery %s again", by, delivery.pk)
    return delivery


def cancel_delivery(delivery: EventDelivery, *, by: UUID | None) -> EventDelivery:
    moved = EventDelivery.objects.filter(pk=delivery.pk, status=OutboxStatus.PENDING).update(
        status=OutboxStatus.FAILED, last_error="cancelled", processed_at=timezone.now()
    )
    if not moved:
        raise ValidationError("It is not waiting any more.")
    delivery.refresh_from_db()
    log.info("%s cancels delivery %s", by, delivery.pk)
    return delivery
