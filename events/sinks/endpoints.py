"""Endpoints: who is sent what, their secrets, and what their owners and we may do with them.

Owners may read their endpoints but not write the tables: what changes them steps out of the wall (`aside`), with an endpoint
that was read behind it.
"""

import base64
import logging
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F
from django.db.models.functions import Now

from events.models import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint, OutboxStatus
from events.outbox import publish
from events.owners import Owner, owners
from events.registration import known_types
from events.sinks.guard import TargetRefused, check_target
from minefarm.lib.clock import database_now
from minefarm.lib.rls import aside
from minefarm.lib.sealing import seal, unseal

log = logging.getLogger(__name__)

PURPOSE = "webhook"
OVERLAP = timedelta(hours=24)
SECRET_BYTES = 32
ENDPOINTS_OF_A_CLIENT = 10
STREAM_NAME = re.compile(r"[a-z0-9][a-z0-9:_.-]{0,99}", re.ASCII)
ADVISORY_LOCK = 0x4D46_0002  # "MF", endpoints: one registration of a person at a time


@aside()
def create_endpoint(
    owner_id: UUID, kind: str, target: str, event_types: Iterable[str] = (), description: str = "", *, by: UUID | None
) -> tuple[EventEndpoint, str]:
    """Register an endpoint. Returns it with its secret, which is shown here and never again.

    Raises ValidationError by field. A client may have ENDPOINTS_OF_A_CLIENT; a stream is for staff, and mail goes to the owner's
    own address.
    """
    owner = owners([owner_id]).get(owner_id)
    if owner is None or not owner.is_active:
        raise ValidationError({"owner": "There is no active person of that kind."})
    target = _checked_target(owner, kind, target)
    types = known_types(event_types)
    secret = _new_secret()
    with transaction.atomic():
        _keep_within_bounds(owner)
        endpoint = EventEndpoint.objects.create(
            owner_id=owner_id,
            kind=kind,
            target=target,
            event_types=types,
            description=description,
            secret=seal(secret, purpose=PURPOSE),
        )
    log.info("%s registers endpoint %s (%s) of %s", by, endpoint.pk, kind, owner_id)
    return endpoint, secret


def _checked_target(owner: Owner, kind: str, target: str) -> str:
    if kind == EndpointKind.WEBHOOK:
        try:
            check_target(target)
        except TargetRefused as refused:
            raise ValidationError({"target": str(refused)}) from None
        return target
    if kind == EndpointKind.EMAIL:
        if target and target.strip().lower() != owner.email.lower():
            raise ValidationError({"target": f"Mail goes to your own address, {owner.email}, and no other."})
        return owner.email
    if kind == EndpointKind.STREAM:
        if not owner.is_staff:
            raise ValidationError({"kind": "A stream is for the farm's own programs: choose a webhook."})
        if not STREAM_NAME.fullmatch(target):
            raise ValidationError({"target": "Name the stream in small letters, digits and : _ . -, e.g. alerts."})
        return target
    raise ValidationError({"kind": f"There is no kind {kind!r}; there are {', '.join(EndpointKind.values)}."})


def _keep_within_bounds(owner: Owner) -> None:
    if owner.is_staff:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [ADVISORY_LOCK, str(owner.id)])
    if EventEndpoint.objects.filter(owner_id=owner.id).count() >= ENDPOINTS_OF_A_CLIENT:
        raise ValidationError(f"You have {ENDPOINTS_OF_A_CLIENT} endpoints, the most there can be: delete one first.")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def live_secrets(endpoint: EventEndpoint) -> list[str]:
    """What deliveries are signed with: the present secret, and the one before it while a rotation lasts."""
    sealed = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_secret_until and endpoint.previous_secret_until > database_now():
        sealed.append(endpoint.previous_secret)
    return [unseal(one, purpose=PURPOSE) for one in sealed]


@aside()
def rotate_secret(endpoint: EventEndpoint, *, by: UUID | None, overlap: timedelta = OVERLAP) -> str:
    """Give the endpoint a new secret; the old one signs as well for `overlap`. Returns the new one, shown once."""
    secret = _new_secret()
    EventEndpoint.objects.filter(pk=endpoint.pk).update(
        previous_secret=F("secret"),
        previous_secret_until=ExpressionWrapper(Now() + overlap, output_field=DateTimeField()),
        secret=seal(secret, purpose=PURPOSE),
        updated_at=Now(),
    )
    endpoint.refresh_from_db()
    log.info("%s rotates the secret of endpoint %s", by, endpoint.pk)
    return secret


@aside()
def pause(endpoint: EventEndpoint, *, by: UUID | None) -> None:
    """Nothing is sent until it is resumed, and events of that time are not kept for it. Raises ValidationError."""
    _move(endpoint, EndpointStatus.PAUSED, sources=[EndpointStatus.ENABLED])
    log.info("%s pauses endpoint %s", by, endpoint.pk)


@aside()
def resume(endpoint: EventEndpoint, *, by: UUID | None) -> None:
    """Send again from now on, also after we switched it off. Raises ValidationError."""
    _move(endpoint, EndpointStatus.ENABLED, sources=[EndpointStatus.PAUSED, EndpointStatus.DISABLED])
    log.info("%s resumes endpoint %s", by, endpoint.pk)


def _move(endpoint: EventEndpoint, to: EndpointStatus, *, sources: list[EndpointStatus]) -> None:
    moved = EventEndpoint.objects.filter(pk=endpoint.pk, status__in=sources).update(
        status=to, status_reason="", failures=0, failing_since=None, held_until=None, updated_at=Now()
    )
    if not moved:
        raise ValidationError({"status": f"It is {endpoint.status}: reload the page."})
    endpoint.refresh_from_db()


@aside()
def delete_endpoint(endpoint: EventEndpoint, *, by: UUID | None) -> None:
    """Forget the endpoint and all that was sent to it."""
    number = endpoint.pk
    endpoint.delete()
    log.info("%s deletes endpoint %s", by, number)


def disable(endpoint: EventEndpoint, *, reason: str) -> bool:
    """Switch it off for being gone or failing for days: what waits fails, its owner gets a mail. False when it was off.

    Failed deliveries are kept and can be sent again once the endpoint is resumed.
    """
    with transaction.atomic():
        moved = EventEndpoint.objects.filter(pk=endpoint.pk, status=EndpointStatus.ENABLED).update(
            status=EndpointStatus.DISABLED, status_reason=reason, updated_at=Now()
        )
        if not moved:
            return False
        EventDelivery.objects.filter(endpoint=endpoint, status=OutboxStatus.PENDING).update(
            status=OutboxStatus.FAILED,
            last_error="the endpoint was switched off",
            processed_at=Now(),
            locked_until=None,
        )
        publish(
            "webhook.disabled",
            about=f"endpoint:{endpoint.pk}",
            client_id=endpoint.owner_id,
            endpoint_id=endpoint.pk,
            owner_id=str(endpoint.owner_id),
            reason=reason,
        )
    log.warning("endpoint %s is switched off: %s", endpoint.pk, reason)
    _tell_owner(endpoint, reason)
    return True


def _tell_owner(endpoint: EventEndpoint, reason: str) -> None:
    owner = owners([endpoint.owner_id]).get(endpoint.owner_id)
    if owner is None or not owner.is_active:
        return
    text = (
        f"Your endpoint {endpoint} ({endpoint.target}) gets no more events.\n\n{reason}\n\n"
        "When the receiver works again, resume it on the page Webhooks of the portal; what failed can be sent again there.\n"
    )
    try:
        send_mail("MineFarm: an endpoint was switched off", text, None, [owner.email])
    except Exception:
        log.exception("the owner of endpoint %s could not be told", endpoint.pk)


@aside()
def send_test(endpoint: EventEndpoint, *, by: UUID | None) -> EventDelivery:
    """Send a `webhook.test` to this endpoint alone. Raises ValidationError unless it is enabled."""
    if endpoint.status != EndpointStatus.ENABLED:
        raise ValidationError({"status": f"It is {endpoint.status}: resume it first."})
    with transaction.atomic():
        event = publish(
            "webhook.test", about=f"endpoint:{endpoint.pk}", message="A test: your endpoint is registered and reached."
        )
        if event is None:  # only with a dedupe key
            raise RuntimeError("a test event without a key of its own was published before")
        delivery = EventDelivery.objects.create(endpoint=endpoint, event=event, aggregate_key=event.aggregate_key)
    log.info("%s tests endpoint %s", by, endpoint.pk)
    return delivery


@aside()
def redeliver(delivery: EventDelivery, *, by: UUID | None) -> EventDelivery:
    """Send it once more, with all its attempts. Raises ValidationError when it is on its way."""
    finished = [OutboxStatus.PROCESSED, OutboxStatus.FAILED]
    moved = EventDelivery.objects.filter(pk=delivery.pk, status__in=finished).update(
        status=OutboxStatus.PENDING, attempts=0, next_attempt_at=Now(), processed_at=None, locked_until=None
    )
    if not moved:
        raise ValidationError("It is on its way already.")
    delivery.refresh_from_db()
    log.info("%s sends delivery %s again", by, delivery.pk)
    return delivery


@aside()
def cancel_delivery(delivery: EventDelivery, *, by: UUID | None) -> EventDelivery:
    """Give up on it. Raises ValidationError when it is over."""
    moved = EventDelivery.objects.filter(pk=delivery.pk, status=OutboxStatus.PENDING).update(
        status=OutboxStatus.FAILED, last_error=f"cancelled by {by}", processed_at=Now(), locked_until=None
    )
    if not moved:
        raise ValidationError("It is not waiting any more.")
    delivery.refresh_from_db()
    log.info("%s cancels delivery %s", by, delivery.pk)
    return delivery
