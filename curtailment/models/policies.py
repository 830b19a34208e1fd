"""What a site allows and how fast it may go, and which machines come last or never."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.roles import Role
from curtailment.states import Tier
from hosting.models import Miner, Site


class SitePolicy(models.Model):
    """One row per site that departs from the defaults; `of(site)` gives the defaults otherwise."""

    site = models.OneToOneField(Site, models.CASCADE, primary_key=True, related_name="curtailment_policy")
    four_eyes = models.BooleanField(
        "a second person approves",
        default=True,
        db_default=True,
        help_text="Switch off on a farm of one person alone; every plan says so then.",
    )
    max_minutes = models.PositiveIntegerField(
        "longest time (min)",
        default=240,
        db_default=240,
        validators=[MinValueValidator(5), MaxValueValidator(7 * 24 * 60)],
    )
    cool_down_minutes = models.PositiveIntegerField(
        "rest after a plan (min)",
        default=10,
        db_default=10,
        help_text="A machine that came back is left alone for so long.",
    )
    sleep_wave = models.PositiveIntegerField(
        "machines to stop at once",
        default=500,
        db_default=500,
        validators=[MinValueValidator(1), MaxValueValidator(5000)],
    )
    down_mw_per_min = models.DecimalField(
        "most MW down in a minute",
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    wake_wave = models.PositiveIntegerField(
        "machines to wake at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(5000)],
        help_text="Empty: 2 % of the plan, at least 10 and at most 100.",
    )
    wake_every_s = models.PositiveIntegerField("seconds between waking waves", default=15, db_default=15)
    up_mw_per_min = models.DecimalField(
        "most MW up in a minute",
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    frozen_until = models.DateTimeField(null=True, blank=True, editable=False)
    frozen_reason = models.TextField(null=True, blank=True, editable=False)
    frozen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )

    class Meta:
        db_table = "curtailment_site_policies"
        verbose_name = "site policy"
        verbose_name_plural = "site policies"

    def __str__(self) -> str:
        return f"policy of {self.site}"

    @classmethod
    def of(cls, site: Site) -> "SitePolicy":
        """The site's row, or an unsaved one with the defaults."""
        return cls.objects.filter(site=site).first() or cls(site=site)


class MinerTier(models.Model):
    """The standing of one client's machines, or of one machine, which goes before its client's."""

    id = models.AutoField(primary_key=True)
    client = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        limit_choices_to={"role": Role.CLIENT},
        related_name="curtailment_tier",
    )
    miner = models.OneToOneField(Miner, models.CASCADE, null=True, blank=True, related_name="curtailment_tier")
    tier = models.TextField(choices=Tier)
    reason = models.TextField(default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "curtailment_tiers"
        verbose_name = "tier"
        constraints = [
            models.CheckConstraint(
                condition=Q(client__isnull=False, miner__isnull=True) | Q(client__isnull=True, miner__isnull=False),
                name="curtailment_tiers_of_one",
                violation_error_message="Name a client or a machine.",
            ),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="curtailment_tiers_known"),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.client or self.miner}"
