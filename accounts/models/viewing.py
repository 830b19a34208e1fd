"""Who looked at the portal as whom, when and why."""

from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

AT_MOST = timedelta(minutes=30)


class ImpersonationRows(models.QuerySet["Impersonation"]):
    def live(self) -> Self:
        """Neither stopped nor over, by the database's clock."""
        return self.filter(ended_at=None, started_at__gt=Now() - AT_MOST)


class Impersonation(models.Model):
    """One look at the portal through a client's or guest's eyes. The database refuses every change but its one end."""

    id = models.AutoField(primary_key=True)
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    as_user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.TextField()
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(
        null=True, editable=False, help_text="Empty: cut off after 30 minutes, or still on."
    )

    objects: ClassVar[ImpersonationRows] = ImpersonationRows.as_manager()  # type: ignore[assignment]  # django-stubs' own idiom

    class Meta:
        db_table = "impersonations"
        ordering = ["-id"]
        verbose_name = "view as client"
        verbose_name_plural = "views as client"
        constraints = [
            models.CheckConstraint(condition=~Q(by_user=F("as_user")), name="impersonations_of_another"),
            models.CheckConstraint(condition=~Q(reason=""), name="impersonations_with_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.by_user_id} as {self.as_user_id} from {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def minutes_left(self) -> int:
        """Whole minutes until the cut-off, the one that is running included."""
        return max(0, -((timezone.now() - self.started_at - AT_MOST) // timedelta(minutes=1)))
