"""Where events are sent: endpoints of people and, per event and endpoint, one delivery."""

from typing import Protocol
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events.models.outbox import OutboxEvent, OutboxStatus


class EndpointKind(models.TextChoices):
    WEBHOOK = "webhook", "Webhook"
    EMAIL = "email", "E-mail"
    STREAM = "stream", "Redis stream"


class EndpointStatus(models.TextChoices):
    ENABLED = "enabled"
    PAUSED = "paused"  # by its owner
    DISABLED = "disabled"  # by us: gone (410) or failing for days


class Person(Protocol):
    """What a signed-in user tells of themselves; `eventendpoint:own` is the right to have endpoints of one's own."""

    @property
    def pk(self) -> UUID: ...
    @property
    def is_staff(self) -> bool: ...
    def has_perm(self, perm: str, /) -> bool: ...


SEALED = ("secret", "previous_secret")


class EndpointQuerySet(models.QuerySet["EventEndpoint"]):
    def for_user(self, user: Person) -> "EndpointQuerySet":
        """Staff who may view endpoints see all, others their own, and who may have none sees none."""
        if user.is_staff and user.has_perm("events.view_eventendpoint"):
            return self
        return self.owned_by(user.pk) if user.has_perm("events.own_eventendpoint") else self.none()

    def owned_by(self, owner_id: UUID) -> "EndpointQuerySet":
        return self.filter(owner_id=owner_id)


class EndpointManager(models.Manager["EventEndpoint"]):
    """Leaves the sealed secrets in the database, which does not give them to customers' requests, until one is asked for."""

    def get_queryset(self) -> EndpointQuerySet:
        return EndpointQuerySet(self.model, using=self._db).defer(*SEALED)

    def for_user(self, user: Person) -> EndpointQuerySet:
        return self.get_queryset().for_user(user)

    def owned_by(self, owner_id: UUID) -> EndpointQuerySet:
        return self.get_queryset().owned_by(owner_id)


class EventEndpoint(models.Model):
    """One address of one person. `owner_id` is a user's id; the kind decides what `target` is.

    `target` is a URL for a webhook, an e-mail address for mail, a stream's name for a Redis stream. Secrets are sealed: the
    second one is the secret before the last rotation, valid until `previous_secret_until`.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField(choices=EndpointKind, default=EndpointKind.WEBHOOK)
    owner_id = models.UUIDField()
    target = models.TextField()
    description = models.TextField(blank=True, default="", db_default="")
    event_types = ArrayField(models.TextField(), default=list, blank=True, help_text="Empty: every event.")
    secret = models.TextField(editable=False, default="")
    previous_secret = models.TextField(editable=False, null=True, blank=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    status = models.TextField(choices=EndpointStatus, default=EndpointStatus.ENABLED, db_default=EndpointStatus.ENABLED)
    status_reason = models.TextField(blank=True, default="", db_default="")
    failing_since = models.DateTimeField(null=True, blank=True)
    held_until = models.DateTimeField(
        null=True, blank=True, help_text="No attempt before this moment: the endpoint as a whole backs off."
    )
    failures = models.IntegerField(default=0, db_default=0, help_text="Failed attempts since the last success.")
    last_success_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    objects = EndpointManager()

    class Meta:
        db_table = "event_endpoints"
        base_manager_name = "objects"
        verbose_name = "endpoint"
        indexes = [models.Index(fields=["owner_id"], name="event_endpoints_owner")]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=EndpointKind.values), name="event_endpoints_kind_known"),
            models.CheckConstraint(condition=Q(status__in=EndpointStatus.values), name="event_endpoints_status_known"),
        ]

    def __str__(self) -> str:
        return self.description or self.target

    def open_to(self, user: Person, action: str) -> bool:
        """Whether this person may do `change` or `delete`: everything with their own, with others' as their role says."""
        if self.owner_id == user.pk and user.has_perm("events.own_eventendpoint"):
            return True
        return user.is_staff and user.has_perm(f"events.{action}_eventendpoint")


class DeliveryQuerySet(models.QuerySet["EventDelivery"]):
    def for_user(self, user: Person) -> "DeliveryQuerySet":
        """The deliveries of the endpoints that one may see."""
        if user.is_staff and user.has_perm("events.view_eventdelivery"):
            return self
        return self.filter(endpoint__in=EventEndpoint.objects.for_user(user))


class EventDelivery(models.Model):
    """One event on its way to one endpoint, with the answer to the last attempt."""

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(EventEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="deliveries")
    aggregate_key = models.TextField()
    status = models.TextField(choices=OutboxStatus, default=OutboxStatus.PENDING, db_default=OutboxStatus.PENDING)
    attempts = models.IntegerField(default=0, db_default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    locked_until = models.DateTimeField(null=True, blank=True)
    locked_by = models.TextField(null=True, blank=True)
    last_error = models.TextField(null=True, blank=True)
    response_status = models.SmallIntegerField(null=True, blank=True)
    response_excerpt = models.TextField(null=True, blank=True)
    duration_ms = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "event_deliveries"
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"], name="event_deliveries_due", condition=Q(status="pending")
            ),
            models.Index(fields=["endpoint", "-id"], name="event_deliveries_newest"),
            models.Index(
                fields=["endpoint", "aggregate_key", "id"],
                name="event_deliveries_waiting",
                condition=Q(status="pending"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="event_deliveries_once"),
            models.CheckConstraint(condition=Q(status__in=OutboxStatus.values), name="event_deliveries_status_known"),
        ]

    def __str__(self) -> str:
        return f"event {self.event_id} to endpoint {self.endpoint_id}"
