"""When somebody may come in, and at which sites: rows beside a person, read together with the person."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class UserAccessRows(models.QuerySet["UserAccess"]):
    def effective(self) -> Self:
        """Grants that hold at this moment by the database's clock: start <= now < end, not revoked."""
        return self.filter(
            Q(access_start_date=None) | Q(access_start_date__lte=Now()),
            Q(access_end_date=None) | Q(access_end_date__gt=Now()),
            revoked_at=None,
        )


class UserAccess(models.Model):
    """One stretch of time in which a person may come in; NULL is without a beginning or without an end.

    The verbs of accounts/services.py add rows and revoke them, nothing else. Owners need none and are bound by none.
    """

    id = models.AutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="access_grants", db_index=False)
    access_start_date = models.DateTimeField("from", null=True, blank=True, help_text="Empty: at once.")
    access_end_date = models.DateTimeField("until", null=True, blank=True, help_text="Empty: without an end.")
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="granted_by",
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
    )
    reason = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="revoked_by",
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
    )

    objects: ClassVar[UserAccessRows] = UserAccessRows.as_manager()  # type: ignore[assignment]  # django-stubs' own idiom

    class Meta:
        db_table = "user_access"
        ordering = ["-id"]
        verbose_name = "access"
        verbose_name_plural = "access"
        indexes = [
            models.Index(fields=["user"], name="idx_user_access_user"),
            models.Index(fields=["access_start_date", "access_end_date"], name="idx_user_access_dates"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(access_start_date=None)
                | Q(access_end_date=None)
                | Q(access_end_date__gt=F("access_start_date")),
                name="user_access_ends_after_start",
                violation_error_message="Access must end after it begins.",
            )
        ]

    def __str__(self) -> str:
        start, end = (
            f"{moment:%Y-%m-%d %H:%M}" if moment else unbounded
            for moment, unbounded in ((self.access_start_date, "always"), (self.access_end_date, "without an end"))
        )
        return f"{start} to {end}{' (revoked)' if self.revoked_at else ''}"


class SiteLimit(models.Model):
    """A person who is limited to sites has one row per site that they reach.

    `site_id` is a number here, for sites belong to the app above; the foreign key in the database is made by a migration of
    hosting. It refuses to delete a site with rows here: without them staff would reach every site.
    """

    id = models.AutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="site_limits", db_index=False)
    site_id = models.IntegerField(db_index=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "user_sites"
        constraints = [models.UniqueConstraint(fields=["user", "site_id"], name="user_sites_once")]

    def __str__(self) -> str:
        return f"{self.user_id} at site {self.site_id}"
