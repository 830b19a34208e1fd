"""Time in which a machine did not hash by the farm's leave: what plans stopped, and what it saved."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from hosting.models.inventory import Miner, Site


class ExcusedRows(models.QuerySet["ExcusedStretch"]):
    def for_user(self, user: User) -> Self:
        """Staff: those of the sites that they reach. A client: stretches of machines that were theirs then."""
        if user.role == Role.CLIENT:
            return self.filter(client=user)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class ExcusedStretch(models.Model):
    """One machine off for one cause, from `starts_at` to before `ends_at`; written once, when it is over and measured.

    `kwh_avoided` is what it would have drawn less what it drew, `saved` that energy at the site's price of each hour.
    """

    miner = models.ForeignKey(Miner, models.PROTECT, related_name="excused", db_index=False)
    site = models.ForeignKey(Site, models.PROTECT, related_name="+", db_index=False)
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    source = models.TextField(help_text="What it was excused by, such as curtailment:17.")
    kwh_avoided = models.DecimalField("kWh avoided", max_digits=14, decimal_places=6, null=True)
    saved = models.DecimalField(max_digits=14, decimal_places=6, null=True, help_text="NULL: no price was known.")
    currency = models.TextField(default="USD", db_default="USD")
    created_at = models.DateTimeField(db_default=Now())

    objects = ExcusedRows.as_manager()

    class Meta:
        db_table = "miner_excused_stretches"
        ordering = ["-starts_at", "-id"]
        verbose_name = "excused stretch"
        verbose_name_plural = "excused stretches"
        indexes = [
            models.Index(fields=["client", "starts_at"], name="idx_excused_client"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="miner_excused_ends_after_start"),
            models.UniqueConstraint(fields=["miner", "source", "starts_at"], name="miner_excused_once"),
        ]

    def __str__(self) -> str:
        return f"miner {self.miner_id} excused by {self.source}"
