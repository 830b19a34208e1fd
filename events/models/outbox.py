"""What happened, and how far it got."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from minefarm.lib.ids import uuid7


class OutboxStatus(models.TextChoices):
    """Waiting for another attempt, or under a lease, is still `pending`: the columns say which."""

    PENDING = "pending"
    PROCESSED = "processed"
    FAILED = "failed"


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction that made it happen.

    `aggregate_key` names what it happened to (`miner:17`) and `aggregate_seq` counts the events of that thing in the order
    of their commits. `client_id` is the customer who may hear of it, NULL when it is the farm's own business.
    """

    id = models.BigAutoField(primary_key=True)
    event_uuid = models.UUIDField(unique=True, default=uuid7, editable=False)
    event_type = models.TextField()
    version = models.SmallIntegerField(default=1, db_default=1)
    aggregate_key = models.TextField()
    aggregate_seq = models.BigIntegerField()
    client_id = models.UUIDField(null=True, blank=True)
    dedupe_key = models.TextField(null=True, blank=True, unique=True)
    payload = models.JSONField()
    status = models.TextField(choices=OutboxStatus, default=OutboxStatus.PENDING, db_default=OutboxStatus.PENDING)
    attempts = models.IntegerField(default=0, db_default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    locked_until = models.DateTimeField(null=True, blank=True)
    locked_by = models.TextField(null=True, blank=True)
    last_error = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "outbox_events"
        indexes = [
            models.Index(fields=["status"], name="idx_outbox_status"),
            models.Index(fields=["event_type"], name="idx_outbox_type"),
            models.Index(fields=["next_attempt_at", "id"], name="outbox_due", condition=Q(status="pending")),
            models.Index(fields=["aggregate_key", "id"], name="outbox_waiting", condition=Q(status="pending")),
            models.Index(fields=["processed_at"], name="outbox_done", condition=Q(status="processed")),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OutboxStatus.values), name="outbox_status_known"),
            models.UniqueConstraint(F("aggregate_key"), F("aggregate_seq"), name="outbox_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} #{self.pk}"


class OutboxAggregate(models.Model):
    """Number of the newest event of one thing; `publish` locks the row, so events are numbered in the order of commits."""

    aggregate_key = models.TextField(primary_key=True)
    last_seq = models.BigIntegerField()

    class Meta:
        db_table = "outbox_aggregates"

    def __str__(self) -> str:
        return f"{self.aggregate_key} at {self.last_seq}"


class EventInbox(models.Model):
    """A consumer has handled an event: written in the transaction of its effects, so that a repeat does nothing."""

    pk = models.CompositePrimaryKey("consumer", "event_uuid")
    consumer = models.TextField()
    event_uuid = models.UUIDField()
    handled_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_inbox"

    def __str__(self) -> str:
        return f"{self.consumer} handled {self.event_uuid}"
