"""Orders to machines: a batch is what somebody asked for, a command is what became of it at one machine."""

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Now

from accounts.models import User
from hosting.control.orders import Order
from hosting.models.inventory import Miner
from hosting.states import OPEN_COMMANDS, CommandStatus

ORDERS = [
    (Order.SLEEP.value, "Sleep"),
    (Order.WAKE.value, "Wake"),
    (Order.REBOOT.value, "Reboot"),
    (Order.POWER_LIMIT.value, "Set power limit"),
    (Order.LOCATE.value, "Locate (light)"),
]


class BatchRows(models.QuerySet["CommandBatch"]):
    def for_user(self, user: User) -> Self:
        """Batches with machines that the user reaches, for staff; nobody else knows of any."""
        if not user.is_staff:
            return self.none()
        if user.site_ids is None:
            return self
        reached = MinerCommand.objects.filter(batch=OuterRef("pk"), miner__site__in=user.site_ids)
        return self.filter(Exists(reached))

    def with_counts(self) -> Self:
        """Add the number of its machines in each status, as `queued`, `sent`, ..."""
        return self.annotate(
            **{status.value: Count("commands", filter=Q(commands__status=status)) for status in CommandStatus}
        )


class CommandBatch(models.Model):
    """One order to many machines: who gave it, when and why, and until when it may be carried out."""

    order = models.TextField(choices=ORDERS)
    watts = models.IntegerField("power limit (W)", null=True, blank=True)
    reason = models.TextField(help_text="Why, for whoever reads the log later.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="requested_by",
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty when it came from the command line or from MineFarm itself.",
    )
    idempotency_key = models.TextField(null=True, blank=True, help_text="The same key again gives this batch again.")
    fingerprint = models.TextField(help_text="Hash of what the key was first used for.")
    miners = models.IntegerField("machines")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(help_text="What is not done by then is given up.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="Every machine has a result.")

    objects = BatchRows.as_manager()

    class Meta:
        db_table = "miner_command_batches"
        ordering = ["-id"]
        verbose_name = "command batch"
        verbose_name_plural = "command batches"
        constraints = [
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"],
                nulls_distinct=False,
                condition=Q(idempotency_key__isnull=False),
                name="miner_command_batches_key",
            ),
            models.CheckConstraint(
                condition=Q(order__in=[order for order, _ in ORDERS]), name="miner_command_batches_order"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="miner_command_batches_reason"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(finished_at=None), name="miner_command_batches_open"),
            models.Index(fields=["-created_at"], name="miner_command_batches_time"),
        ]

    def __str__(self) -> str:
        return f"{self.order} of {self.miners} machines ({self.pk})"

    def counts(self) -> dict[str, int]:
        """Number of machines in each status, zeros included."""
        rows = self.commands.order_by().values_list("status").annotate(Count("pk"))
        return dict.fromkeys(CommandStatus.values, 0) | dict(rows)


class CommandRows(models.QuerySet["MinerCommand"]):
    def for_user(self, user: User) -> Self:
        """Commands to machines that the user reaches, for staff; nobody else knows of any."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(miner__site__in=user.site_ids)

    def open(self) -> Self:
        return self.filter(status__in=OPEN_COMMANDS)


class MinerCommand(models.Model):
    """One order to one machine. A machine has one open command at most: two orders at once would cross on the wire."""

    batch = models.ForeignKey(CommandBatch, models.CASCADE, related_name="commands", db_index=False)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="commands", db_index=False)
    status = models.TextField(
        choices=CommandStatus, default=CommandStatus.QUEUED, db_default=CommandStatus.QUEUED.value
    )
    detail = models.TextField(default="", db_default="", blank=True, help_text="For people: what happened, or why not.")
    attempts = models.SmallIntegerField(default=0, db_default=0)
    due_at = models.DateTimeField(db_default=Now(), help_text="When the next step is due.")
    claimed_by = models.TextField(null=True, help_text="The worker that is at it now.")
    claimed_until = models.DateTimeField(null=True, help_text="From then on another worker takes over.")
    before = models.JSONField(null=True, help_text="Reading before the order.")
    after: "models.JSONField[Any, Any]" = models.JSONField(default=list, help_text="Readings after it.")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, help_text="Written before the packet left.")
    accepted_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = CommandRows.as_manager()

    class Meta:
        db_table = "miner_commands"
        ordering = ["id"]
        verbose_name = "command"
        constraints = [
            models.UniqueConstraint(fields=["batch", "miner"], name="miner_commands_once"),
            models.UniqueConstraint(
                fields=["miner"], condition=Q(status__in=OPEN_COMMANDS), name="miner_commands_one_open"
            ),
            models.CheckConstraint(condition=Q(status__in=CommandStatus.values), name="miner_commands_status_known"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=OPEN_COMMANDS), name="miner_commands_due"),
            models.Index(fields=["miner", "-id"], name="miner_commands_of_miner"),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}: {self.status} at miner {self.miner_id}"

    @property
    def took(self) -> float | None:
        """Seconds from the order to its result."""
        end: datetime | None = self.finished_at
        return None if end is None else (end - self.created_at).total_seconds()
