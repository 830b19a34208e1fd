"""Repairs: what is wrong with a machine, where it is meanwhile, and whose fault it was."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from hosting.models.inventory import Miner
from hosting.states import Fault, TicketStatus

# PostgreSQL refuses these to customers' requests (migration inventory_row_security).
TICKET_STAFF_COLUMNS = ("opened_by", "assigned_to", "took_out")


class TicketRows(models.QuerySet["MaintenanceTicket"]):
    def for_user(self, user: User) -> Self:
        """Staff: tickets of machines that they reach. A client: those of machines that were theirs then. A guest: none."""
        if user.role == Role.CLIENT:
            return self.filter(client=user).defer(*TICKET_STAFF_COLUMNS)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(miner__site__in=user.site_ids)

    def unfinished(self) -> Self:
        return self.exclude(status__in=(TicketStatus.RESOLVED, TicketStatus.CLOSED))


class MaintenanceTicket(models.Model):
    """`starts_at` to `ends_at` is the time that the machine did not work for this reason; NULL: it still does not."""

    id = models.AutoField(primary_key=True)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="tickets", db_index=False)
    # Of the time when it was opened: a machine that is sold does not take its repairs along.
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    serial_number = models.TextField(
        editable=False, help_text="Of the machine, for a former owner who sees it no more."
    )
    title = models.TextField()
    status = models.TextField(choices=TicketStatus, default=TicketStatus.OPEN, db_default=TicketStatus.OPEN)
    fault = models.TextField(
        "whose fault", choices=Fault, default=Fault.UNKNOWN, db_default=Fault.UNKNOWN, help_text="Bills ask for it."
    )
    rma_number = models.TextField("RMA number", null=True, blank=True)
    rma_vendor = models.TextField("RMA vendor", null=True, blank=True)
    took_out = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Opening it put the machine into maintenance."
    )
    starts_at = models.DateTimeField(help_text="From when on the machine did not work.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Until when; empty while it lasts.")
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    closed_at = models.DateTimeField(null=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = TicketRows.as_manager()

    class Meta:
        db_table = "maintenance_tickets"
        ordering = ["-opened_at", "-id"]
        indexes = [
            models.Index(fields=["miner", "starts_at"], name="idx_tickets_miner"),
            models.Index(fields=["client", "-opened_at"], name="idx_tickets_client"),
            models.Index(fields=["-opened_at", "-id"], name="idx_tickets_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=TicketStatus.values), name="maintenance_tickets_status_known"
            ),
            models.CheckConstraint(condition=Q(fault__in=Fault.values), name="maintenance_tickets_fault_known"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="maintenance_tickets_end_after_start",
                violation_error_message="The end lies before the start.",
            ),
            models.CheckConstraint(
                condition=~Q(status=TicketStatus.RMA_SENT) | (Q(rma_number__isnull=False) & ~Q(rma_number="")),
                name="maintenance_tickets_rma_numbered",
                violation_error_message="A machine that was sent away has an RMA number: enter it.",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class TicketComment(models.Model):
    """What somebody wrote; internal ones are for staff."""

    id = models.AutoField(primary_key=True)
    ticket = models.ForeignKey(MaintenanceTicket, models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+")
    text = models.TextField()
    internal = models.BooleanField(default=True, db_default=True, help_text="For staff alone.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "maintenance_ticket_comments"
        ordering = ["created_at", "id"]
        verbose_name = "comment"

    def __str__(self) -> str:
        return f"comment {self.pk}"


class TicketPart(models.Model):
    id = models.AutoField(primary_key=True)
    ticket = models.ForeignKey(MaintenanceTicket, models.CASCADE, related_name="parts")
    name = models.TextField(help_text="For example fan 12038, control board, PSU APW12.")
    quantity = models.PositiveSmallIntegerField(default=1, db_default=1)

    class Meta:
        db_table = "maintenance_ticket_parts"
        ordering = ["id"]
        verbose_name = "part"

    def __str__(self) -> str:
        return f"{self.quantity} × {self.name}"
