"""What a customer pays for, since when: a contract has versions, and each month is billed by the versions that hold in it."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from crm.models.pipeline import Deal
from crm.states import Pricing
from hosting.models import Site

# PostgreSQL refuses these to customers' requests.
CONTRACT_STAFF_COLUMNS = ("deal", "created_by")
NOT_NEGATIVE = [MinValueValidator(0)]
PERCENT = [MinValueValidator(0), MaxValueValidator(100)]


class ContractRows(models.QuerySet["Contract"]):
    def for_user(self, user: User) -> Self:
        """Staff: all, or those of their sites. A client: their own. Nobody else any."""
        if user.role == Role.CLIENT:
            return self.filter(client=user).defer(*CONTRACT_STAFF_COLUMNS)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class Contract(models.Model):
    """One customer's machines at one site, from `starts_on` to before `ends_on`, by the site's calendar."""

    id = models.AutoField(primary_key=True)
    number = models.TextField(unique=True, help_text="As both sides call it.")
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, limit_choices_to={"role": Role.CLIENT}, related_name="contracts"
    )
    site = models.ForeignKey(Site, models.PROTECT, related_name="contracts")
    deal = models.ForeignKey(Deal, models.PROTECT, null=True, blank=True, related_name="contracts")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True, help_text="First day after; empty: until further notice.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = ContractRows.as_manager()

    class Meta:
        db_table = "crm_contracts"
        ordering = ["number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="crm_contracts_ends_after_start",
                violation_error_message="The contract ends before it starts.",
            ),
            ExclusionConstraint(
                name="crm_contracts_one_at_a_time",
                expressions=[
                    ("client", RangeOperators.EQUAL),
                    ("site", RangeOperators.EQUAL),
                    (
                        Func("starts_on", "ends_on", function="daterange", output_field=DateRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                violation_error_message="The customer has another contract at this site in that time: end that one first.",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class ContractVersion(models.Model):
    """The terms from `valid_from` until the next version. A version that was billed is never changed: add another."""

    contract = models.ForeignKey(Contract, models.CASCADE, related_name="versions")
    valid_from = models.DateField()
    currency = models.TextField(
        default="USD", db_default="USD", validators=[RegexValidator(r"^[A-Z]{3}$", "Give a code such as USD or EUR.")]
    )
    pricing = models.TextField(choices=Pricing)
    rate_per_kwh = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text="Metered and nameplate: the price. Pass-through: the margin on the site's price.",
    )
    flat_per_miner = models.DecimalField(
        "flat per machine and month", max_digits=12, decimal_places=2, null=True, blank=True, validators=NOT_NEGATIVE
    )
    revenue_share_pct = models.DecimalField(
        "share of the revenue (%)", max_digits=6, decimal_places=3, null=True, blank=True, validators=PERCENT
    )
    rated_power_uplift_pct = models.DecimalField(
        "on top of the measured or rated power (%)",
        max_digits=6,
        decimal_places=3,
        default=0,
        db_default=0,
        validators=PERCENT,
        help_text="Cooling and losses, as agreed.",
    )
    minimum_kw = models.DecimalField(
        "take or pay (kW)", max_digits=12, decimal_places=3, null=True, blank=True, validators=NOT_NEGATIVE
    )
    minimum_per_month = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, blank=True, validators=NOT_NEGATIVE
    )
    deposit = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True, validators=NOT_NEGATIVE)
    setup_fee = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True, validators=NOT_NEGATIVE)
    uptime_guarantee_pct = models.DecimalField(
        "guaranteed uptime (%)", max_digits=6, decimal_places=3, null=True, blank=True, validators=PERCENT
    )
    sla_credit_cap_pct = models.DecimalField(
        "most uptime credit (% of the hosting fee)",
        max_digits=6,
        decimal_places=3,
        default=100,
        db_default=100,
        validators=PERCENT,
    )
    curtailment_excused = models.BooleanField(
        "curtailed minutes are excused",
        default=True,
        db_default=True,
        help_text="They do not count against the uptime.",
    )
    curtailment_share_pct = models.DecimalField(
        "customer's share of curtailment savings (%)",
        max_digits=6,
        decimal_places=3,
        default=0,
        db_default=0,
        validators=PERCENT,
    )
    tax_pct = models.DecimalField(
        "tax (%)", max_digits=6, decimal_places=3, default=0, db_default=0, validators=PERCENT
    )
    due_days = models.PositiveSmallIntegerField("days to pay", default=14, db_default=14)
    late_fee = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True, validators=NOT_NEGATIVE)
    terms = models.TextField(default="", db_default="", blank=True, help_text="Printed on the invoice.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "crm_contract_versions"
        ordering = ["contract", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "valid_from"], name="crm_contract_versions_once"),
            models.CheckConstraint(condition=Q(pricing__in=Pricing.values), name="crm_contract_versions_pricing_known"),
        ]

    def __str__(self) -> str:
        return f"{self.contract} from {self.valid_from}"
