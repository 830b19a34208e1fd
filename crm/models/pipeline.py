"""Leads, deals and what was done about them."""

from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from crm.states import ActivityKind, DealStage, LeadStatus
from hosting.models import MinerModel, Site

SCORE = (MinValueValidator(0), MaxValueValidator(100))


class StaffRows(models.QuerySet[Any]):
    def for_user(self, user: User) -> Self:
        """Staff alone; customers know nothing of the pipeline."""
        return self if user.is_staff else self.none()


class DealRows(StaffRows):
    def for_user(self, user: User) -> Self:
        """Staff: all, or those of their sites and of none yet. Customers know nothing of the pipeline."""
        rows = super().for_user(user)
        return rows if user.site_ids is None else rows.filter(Q(site=None) | Q(site__in=user.site_ids))


class ActivityRows(StaffRows):
    def for_user(self, user: User) -> Self:
        """As the deals that they are about."""
        rows = super().for_user(user)
        return rows if user.site_ids is None else rows.filter(Q(deal__site=None) | Q(deal__site__in=user.site_ids))


class LeadRows(StaffRows):
    def search(self, text: str) -> Self:
        """By name, company, e-mail or telephone."""
        found = (
            Q(name__icontains=text) | Q(company__icontains=text) | Q(email__icontains=text) | Q(phone__icontains=text)
        )
        return self.filter(found)

    def to_follow_up(self) -> Self:
        """Open ones whose follow-up is due, by the database's clock."""
        return self.filter(follow_up_at__lt=Now()).exclude(status__in=(LeadStatus.CONVERTED, LeadStatus.LOST))


class Lead(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.TextField()
    email = models.TextField("e-mail", null=True, blank=True)
    phone = models.TextField(null=True, blank=True)
    company = models.TextField(null=True, blank=True)
    status = models.TextField(choices=LeadStatus, default=LeadStatus.NEW, db_default=LeadStatus.NEW)
    source = models.TextField(null=True, blank=True, help_text="website, referral, cold_call, ...")
    score = models.IntegerField(null=True, blank=True, validators=SCORE)
    wanted_kw = models.DecimalField(
        "wanted (kW)", max_digits=12, decimal_places=3, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="leads", db_index=False
    )
    follow_up_at = models.DateTimeField(null=True, blank=True)
    lost_reason = models.TextField(null=True, blank=True)
    # Normalised on every save; duplicates are found by these.
    email_key = models.TextField(null=True, editable=False)
    phone_key = models.TextField(null=True, editable=False)
    company_key = models.TextField(null=True, editable=False)
    converted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = LeadRows.as_manager()

    class Meta:
        db_table = "crm_leads"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="idx_crm_leads_time"),
            models.Index(fields=["email_key"], name="idx_crm_leads_email"),
            models.Index(fields=["phone_key"], name="idx_crm_leads_phone"),
            models.Index(fields=["company_key"], name="idx_crm_leads_company"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=LeadStatus.values), name="crm_leads_status_known"),
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__range=(0, 100)), name="crm_leads_score_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.company})" if self.company else self.name


class Deal(models.Model):
    id = models.AutoField(primary_key=True)
    # A lead becomes one deal, whoever converts it how often.
    lead = models.OneToOneField(Lead, models.PROTECT, null=True, blank=True, related_name="deal")
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        limit_choices_to={"role": Role.CLIENT},
        related_name="deals",
    )
    title = models.TextField()
    value = models.DecimalField(
        "value (USD)", max_digits=12, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    stage = models.TextField(choices=DealStage, default=DealStage.DISCOVERY, db_default=DealStage.DISCOVERY)
    probability = models.IntegerField("probability (%)", default=20, validators=SCORE)
    expected_close_date = models.DateField(null=True, blank=True)
    site = models.ForeignKey(Site, models.PROTECT, null=True, blank=True, related_name="deals")
    miner_model = models.ForeignKey(MinerModel, models.PROTECT, null=True, blank=True, related_name="+")
    miners = models.PositiveIntegerField("machines", null=True, blank=True)
    power_kw = models.DecimalField("power (kW)", max_digits=12, decimal_places=3, null=True, blank=True)
    price_per_kwh = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    term_months = models.PositiveIntegerField(null=True, blank=True)
    deposit = models.DecimalField("deposit (USD)", max_digits=12, decimal_places=2, null=True, blank=True)
    target_date = models.DateField("machines arrive", null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="owned_deals", db_index=False
    )
    stage_since = models.DateTimeField(db_default=Now(), editable=False)
    lost_reason = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = DealRows.as_manager()

    class Meta:
        db_table = "crm_deals"
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["stage"], name="idx_crm_deals_stage")]
        constraints = [
            models.CheckConstraint(condition=Q(stage__in=DealStage.values), name="crm_deals_stage_known"),
            models.CheckConstraint(condition=Q(probability__range=(0, 100)), name="crm_deals_probability_range"),
            models.CheckConstraint(
                condition=~Q(stage="closed_lost") | (Q(lost_reason__isnull=False) & ~Q(lost_reason="")),
                name="crm_deals_lost_for_a_reason",
                violation_error_message="Say why the deal was lost.",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class DealStageChange(models.Model):
    """History of a deal's stages; rows are only added."""

    deal = models.ForeignKey(Deal, models.CASCADE, related_name="stage_changes")
    from_stage = models.TextField(choices=DealStage, null=True)
    to_stage = models.TextField(choices=DealStage)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "crm_deal_stages"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_stage} to {self.to_stage}"


class Activity(models.Model):
    """A call, mail, meeting, note or task, about a lead or a deal (or both, since the lead became it)."""

    id = models.AutoField(primary_key=True)
    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="activities")
    deal = models.ForeignKey(Deal, models.CASCADE, null=True, blank=True, related_name="activities")
    kind = models.TextField(choices=ActivityKind)
    subject = models.TextField()
    body = models.TextField(default="", db_default="", blank=True)
    due_date = models.DateField(null=True, blank=True, help_text="Of a task.")
    done_at = models.DateTimeField(null=True, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    happened_at = models.DateTimeField(db_default=Now())

    objects = ActivityRows.as_manager()

    class Meta:
        db_table = "crm_activities"
        ordering = ["-happened_at", "-id"]
        verbose_name_plural = "activities"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=ActivityKind.values), name="crm_activities_kind_known"),
            models.CheckConstraint(
                condition=Q(lead__isnull=False) | Q(deal__isnull=False),
                name="crm_activities_about_something",
                violation_error_message="Name the lead or the deal that it is about.",
            ),
        ]

    def __str__(self) -> str:
        return self.subject
