"""What was used, frozen: the evidence that an invoice's lines are computed from, and can be computed from again."""

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from crm.models.contracts import Contract
from crm.states import InvoiceStatus
from hosting.models import Miner
from hosting.models.rollups import EnergySource

ISSUED = [status for status in InvoiceStatus if status != InvoiceStatus.DRAFT]


class SnapshotRows(models.QuerySet["UsageSnapshot"]):
    def for_user(self, user: User) -> Self:
        """Staff: those of their sites. A client: what invoices that were issued to them stand on. Nobody else any."""
        if user.role == Role.CLIENT:
            billed = UsageSnapshot.objects.filter(client=user, invoices__status__in=ISSUED)
            return self.filter(client=user, pk__in=billed.values("pk"))
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(contract__site__in=user.site_ids)


class UsageSnapshot(models.Model):
    """One contract's month; rows are only added, and a trigger refuses everything else.

    `month` is its first day by the site's calendar. `inputs` holds all that is not per machine and day (terms, prices, sums
    of savings), as text of decimals; `content_hash` is the SHA-256 of the inputs and of the days in their order.
    """

    id = models.AutoField(primary_key=True)
    contract = models.ForeignKey(Contract, models.PROTECT, related_name="snapshots")
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    month = models.DateField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    inputs: "models.JSONField[Any, Any]" = models.JSONField()
    content_hash = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    objects = SnapshotRows.as_manager()

    class Meta:
        db_table = "crm_usage_snapshots"
        ordering = ["-month", "contract"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "month", "content_hash"], name="crm_usage_snapshots_once"),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="crm_usage_snapshots_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"usage of {self.contract_id} in {self.month:%Y-%m}"


class UsageDay(models.Model):
    """One machine on one local day of its site, as billed. `kwh` NULL: nothing is known."""

    snapshot = models.ForeignKey(UsageSnapshot, models.CASCADE, related_name="days", db_index=False)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="+", db_index=False)
    serial_number = models.TextField(help_text="As it was called then.")
    day = models.DateField()
    period_s = models.IntegerField(help_text="Length of the hours in which it was the customer's.")
    kwh = models.DecimalField("kWh", max_digits=14, decimal_places=6, null=True)
    source = models.TextField(choices=EnergySource)
    gap_s = models.IntegerField()
    hashing_s = models.IntegerField()
    excused_s = models.IntegerField(default=0, db_default=0, help_text="Not hashing, and not the farm's fault.")
    th_hours = models.DecimalField(
        "TH/s x hours", max_digits=16, decimal_places=4, null=True, help_text="Mean hashrate times hours hashed."
    )
    nameplate_w = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    # What the price times the energy of each hour comes to, where electricity is passed through.
    energy_cost = models.DecimalField(max_digits=16, decimal_places=8, null=True)
    # What hashprice times hashrate of each hour comes to, less the pool's fee, where the revenue is shared.
    revenue = models.DecimalField(max_digits=16, decimal_places=8, null=True)

    class Meta:
        db_table = "crm_usage_days"
        ordering = ["snapshot", "serial_number", "day"]
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "miner", "day"], name="crm_usage_days_once"),
        ]

    def __str__(self) -> str:
        return f"{self.serial_number} on {self.day}"
