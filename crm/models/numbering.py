"""What stands beside the invoices: the counters of their numbers, whom to bill, which reminders went out."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from crm.models.invoices import Invoice


class InvoiceCounter(models.Model):
    """The last number of a series in a year. A trigger lets it go up by one at a time, and never back."""

    series = models.TextField()
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField()

    class Meta:
        db_table = "crm_invoice_counters"
        constraints = [
            models.UniqueConstraint(fields=["series", "year"], name="crm_invoice_counters_once"),
            models.CheckConstraint(condition=Q(last__gte=1), name="crm_invoice_counters_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.series}-{self.year}: {self.last}"


class BillingDetails(models.Model):
    """How a customer wants to be named on invoices. Without a row: the name and e-mail of the account."""

    client = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="billing_details"
    )
    company = models.TextField(default="", db_default="", blank=True)
    address = models.TextField(default="", db_default="", blank=True, help_text="Several lines.")
    tax_id = models.TextField(default="", db_default="", blank=True)
    email = models.EmailField(
        blank=True, default="", db_default="", help_text="Where invoices go, if not the account's."
    )
    updated_at = models.DateTimeField(auto_now=True, null=True)

    class Meta:
        db_table = "crm_billing_details"
        verbose_name = "billing details"
        verbose_name_plural = "billing details"

    def __str__(self) -> str:
        return self.company or f"client {self.client_id}"


class InvoiceReminder(models.Model):
    """One reminder that was written: `step` is in days from the due date, below zero before it."""

    invoice = models.ForeignKey(Invoice, models.CASCADE, related_name="reminders", db_index=False)
    step = models.SmallIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "crm_invoice_reminders"
        constraints = [models.UniqueConstraint(fields=["invoice", "step"], name="crm_invoice_reminders_once")]

    def __str__(self) -> str:
        return f"{self.step:+d} days, invoice {self.invoice_id}"
