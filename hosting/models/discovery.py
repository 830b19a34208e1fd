from typing import Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from hosting.models.inventory import Miner, Site


class DiscoveredRows(models.QuerySet["DiscoveredMiner"]):
    def for_user(self, user: User) -> Self:
        """Finds at sites that the user reaches, for staff."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class FindState(models.TextChoices):
    NEW = "new"
    KNOWN = "known"
    MOVED = "moved"
    MISMATCH = "mismatch", "another machine than the inventory says"
    ADOPTED = "adopted"


class DiscoveredMiner(models.Model):
    """A machine that answered at an address when the site's networks were last scanned."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="discovered", db_index=False)
    host = models.TextField("IP")
    port = models.IntegerField(default=4028)
    make = models.TextField(null=True, blank=True)
    model = models.TextField(null=True, blank=True)
    firmware = models.TextField(null=True, blank=True)
    serial = models.TextField(null=True, blank=True)
    mac = models.TextField("MAC", null=True, blank=True)
    state = models.TextField(choices=FindState, default=FindState.NEW)
    miner = models.ForeignKey(
        Miner, models.SET_NULL, null=True, blank=True, related_name="+", help_text="The inventory's machine that it is."
    )
    first_seen_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(help_text="Last scan that found it.")

    objects = DiscoveredRows.as_manager()

    class Meta:
        db_table = "discovered_miners"
        ordering = ["site", "host"]
        verbose_name = "discovered machine"
        constraints = [
            models.UniqueConstraint(fields=["site", "host", "port"], name="discovered_miners_address"),
            models.CheckConstraint(condition=models.Q(state__in=FindState.values), name="discovered_miners_state"),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.port} {self.serial or self.mac or ''}".strip()
