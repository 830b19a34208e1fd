"""Invoices, credit notes, their lines, and payments."""

from typing import Any, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from crm.models.contracts import ContractVersion
from crm.models.pipeline import Deal
from crm.models.usage import UsageSnapshot
from crm.states import InvoiceKind, InvoiceStatus, LineKind

# PostgreSQL refuses these to customers' requests.
INVOICE_STAFF_COLUMNS = ("deal", "pdf_path", "held_for", "created_by", "issued_by")


# The detail of a line that somebody added: no usage gives it. Customers read it, so it names nobody.
BY_HAND = {"by_hand": True}


class InvoiceRows(models.QuerySet["Invoice"]):
    def for_user(self, user: User) -> Self:
        """Staff who may see money: all. A client: their own that were issued. Nobody else any."""
        if user.role == Role.CLIENT:
            return self.filter(client=user).exclude(status=InvoiceStatus.DRAFT).defer(*INVOICE_STAFF_COLUMNS)
        return self if user.may("invoice:view") else self.none()


class Invoice(models.Model):
    """A draft may be thrown away; from the moment that it has its number, it and its lines stay as they are for ever.

    `amount` is what is asked for in all, tax included: the sum of the lines, negative for a credit note. A draft's number is
    a place-holder; the real one is given at issue, without gaps. The client's name and address are those of that moment.
    """

    id = models.AutoField(primary_key=True)
    kind = models.TextField(choices=InvoiceKind, default=InvoiceKind.INVOICE, db_default=InvoiceKind.INVOICE)
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="invoices", db_index=False)
    deal = models.ForeignKey(Deal, models.PROTECT, null=True, blank=True, related_name="invoices")
    contract_version = models.ForeignKey(
        ContractVersion, models.PROTECT, null=True, blank=True, related_name="invoices", db_index=False
    )
    snapshot = models.ForeignKey(UsageSnapshot, models.PROTECT, null=True, blank=True, related_name="invoices")
    reverses = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="credit_notes")
    invoice_number = models.TextField(unique=True)
    currency = models.TextField(
        default="USD", db_default="USD", validators=[RegexValidator(r"^[A-Z]{3}$", "Give a code such as USD or EUR.")]
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    net = models.DecimalField(max_digits=12, decimal_places=2, default=0, db_default=0)
    tax = models.DecimalField(max_digits=12, decimal_places=2, default=0, db_default=0)
    tax_pct = models.DecimalField(max_digits=6, decimal_places=3, default=0, db_default=0)
    status = models.TextField(choices=InvoiceStatus, default=InvoiceStatus.DRAFT, db_default=InvoiceStatus.DRAFT)
    period_start = models.DateField(null=True, blank=True)
    period_end = models.DateField(null=True, blank=True, help_text="First day after the period.")
    issue_date = models.DateField(null=True, blank=True)
    due_date = models.DateField(null=True, blank=True)
    due_days = models.PositiveSmallIntegerField(default=14, db_default=14)
    paid_date = models.DateField(null=True, blank=True)
    bill_to: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, db_default={}, help_text="Name, e-mail, address of the client when it was issued."
    )
    seller: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, db_default={}, help_text="Name, address, bank and terms of the farm when it was issued."
    )
    notes = models.TextField(default="", db_default="", blank=True, help_text="Printed below the lines.")
    content_hash = models.TextField(null=True, blank=True, help_text="SHA-256 of what was issued, lines included.")
    held_for = models.TextField(null=True, blank=True, help_text="Why a draft must not be issued yet.")
    pdf_path = models.TextField(null=True, blank=True)
    pdf_sha256 = models.TextField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    issued_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = InvoiceRows.as_manager()

    class Meta:
        db_table = "crm_invoices"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["client", "-issue_date"], name="idx_crm_invoices_client"),
            models.Index(fields=["due_date"], condition=Q(status="sent"), name="idx_crm_invoices_due"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=InvoiceStatus.values), name="crm_invoices_status_known"),
            models.CheckConstraint(condition=Q(kind__in=InvoiceKind.values), name="crm_invoices_kind_known"),
            models.CheckConstraint(condition=Q(amount=F("net") + F("tax")), name="crm_invoices_amount_is_net_and_tax"),
            models.CheckConstraint(
                condition=Q(status="draft")
                | Q(issue_date__isnull=False, due_date__isnull=False, content_hash__isnull=False),
                name="crm_invoices_issued_whole",
            ),
            models.UniqueConstraint(
                fields=["snapshot"],
                condition=Q(kind="invoice", snapshot__isnull=False),
                name="crm_invoices_one_per_snapshot",
            ),
        ]

    def __str__(self) -> str:
        return self.invoice_number


class InvoiceLine(models.Model):
    """`amount` = quantity x unit_price, half-even to the cent; before tax. kWh to 3 places, rates to 6."""

    invoice = models.ForeignKey(Invoice, models.CASCADE, related_name="lines", db_index=False)
    position = models.PositiveSmallIntegerField()
    kind = models.TextField(choices=LineKind)
    description = models.TextField()
    quantity = models.DecimalField(max_digits=16, decimal_places=3)
    unit = models.TextField(default="", db_default="", blank=True, help_text="kWh, machine, month, ...")
    unit_price = models.DecimalField(max_digits=16, decimal_places=6)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    detail: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, db_default={}, help_text="How it was computed, decimals as text."
    )

    class Meta:
        db_table = "crm_invoice_lines"
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="crm_invoice_lines_once"),
            models.CheckConstraint(condition=Q(kind__in=LineKind.values), name="crm_invoice_lines_kind_known"),
        ]

    def __str__(self) -> str:
        return self.description


class PaymentRows(models.QuerySet["Payment"]):
    def for_user(self, user: User) -> Self:
        if user.role == Role.CLIENT:
            return self.filter(invoice__client=user).defer("recorded_by", "note")
        return self if user.may("payment:view") else self.none()


class Payment(models.Model):
    """Money that came for an invoice; one that was taken back is a negative row, nothing is deleted."""

    id = models.AutoField(primary_key=True)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="payments")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    received_on = models.DateField()
    method = models.TextField(default="bank", db_default="bank", help_text="bank, card, btc, ...")
    reference = models.TextField(default="", db_default="", blank=True)
    note = models.TextField(default="", db_default="", blank=True)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PaymentRows.as_manager()

    class Meta:
        db_table = "crm_payments"
        ordering = ["-received_on", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="crm_payments_not_zero"),
            models.UniqueConstraint(
                fields=["invoice", "method", "reference"],
                condition=~Q(reference=""),
                name="crm_payments_once",
                violation_error_message="This payment was entered already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.invoice_id}"
