"""Which month of which contract is billed by which invoice, and the runs that people started."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from crm.models.contracts import Contract
from crm.models.invoices import Invoice
from hosting.models import Site


class BilledMonth(models.Model):
    """One contract's month and its one invoice or draft, whatever the ledger says afterwards.

    After a credit note the month may be billed again, as the next correction. A draft that is thrown away takes its row along.
    """

    contract = models.ForeignKey(Contract, models.PROTECT, related_name="billed_months", db_index=False)
    month = models.DateField()
    correction = models.PositiveSmallIntegerField(default=0, db_default=0)
    invoice = models.OneToOneField(Invoice, models.CASCADE, related_name="billed_month")
    override_reason = models.TextField(default="", db_default="", blank=True, help_text="Why it went out though held.")
    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    overridden_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "crm_billed_months"
        ordering = ["-month", "contract", "-correction"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "month", "correction"], name="crm_billed_months_once"),
            models.CheckConstraint(
                condition=Q(overridden_at__isnull=True) | ~Q(override_reason=""), name="crm_billed_months_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} in {self.month:%Y-%m}"


class BillingRun(models.Model):
    """A preview or an issue that somebody asked for on the page, as its task goes on."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    month = models.DateField()
    site = models.ForeignKey(Site, models.CASCADE, null=True, blank=True, related_name="+", db_index=False)
    dry_run = models.BooleanField(default=True)
    status = models.TextField(choices=Status, default=Status.WAITING, db_default=Status.WAITING)
    contracts = models.IntegerField(default=0, db_default=0)
    done = models.IntegerField(default=0, db_default=0)
    outcomes: "models.JSONField[Any, Any]" = models.JSONField(default=list, db_default=[])
    error = models.TextField(default="", db_default="", blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "crm_billing_runs"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "running", "done", "failed"]), name="crm_billing_runs_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{'preview' if self.dry_run else 'issue'} of {self.month:%Y-%m}"

    @property
    def bills(self) -> list[dict[str, Any]]:
        """What came of each contract; nothing until it is done."""
        return self.outcomes if isinstance(self.outcomes, list) else []

    @property
    def over(self) -> bool:
        return self.status in {self.Status.DONE, self.Status.FAILED}
