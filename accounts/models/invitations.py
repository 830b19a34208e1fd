"""Invitations: a mailed link that makes one account, once, within 72 hours."""

from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone

from accounts.roles import Role


class InvitationRows(models.QuerySet["Invitation"]):
    def open(self) -> Self:
        """Neither accepted nor revoked; the link may have expired."""
        return self.filter(accepted_at=None, revoked_at=None)

    def usable(self) -> Self:
        """Open and not expired, by the database's clock."""
        return self.open().filter(expires_at__gt=Now())


class Invitation(models.Model):
    """Role, sites and access are fixed by who invites. Of the link's secret only the SHA-256 is kept."""

    id = models.AutoField(primary_key=True)
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=16, choices=Role, default=Role.CLIENT)
    site_ids = ArrayField(models.IntegerField(), default=list, blank=True)
    access_start_date = models.DateTimeField("access from", null=True, blank=True, help_text="Empty: at once.")
    access_end_date = models.DateTimeField("access until", null=True, blank=True, help_text="Empty: without an end.")
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    accepted_by = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="invitation"
    )
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )

    objects: ClassVar[InvitationRows] = InvitationRows.as_manager()  # type: ignore[assignment]  # django-stubs' own idiom

    class Meta:
        db_table = "invitations"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"), condition=Q(accepted_at=None, revoked_at=None), name="invitations_one_open"
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="invitations_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"

    @property
    def state(self) -> str:
        """open, accepted, revoked or expired."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "open" if self.expires_at > timezone.now() else "expired"
