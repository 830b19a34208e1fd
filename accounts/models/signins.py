"""The trail of sign-ins: one row per attempt, kept a year, never changed."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models.people import User
from minefarm.lib.browsers import device_name


class Outcome(models.TextChoices):
    OK = "ok", "Signed in"
    SECOND_FACTOR_ASKED = "second_factor_asked", "Password right, code asked"
    BAD_PASSWORD = "bad_password", "Wrong password"
    UNKNOWN_USER = "unknown_user", "No such account"
    DISABLED = "disabled", "Account disabled"
    EXPIRED_ACCESS = "expired_access", "No access at this time"
    THROTTLED = "throttled", "Too many tries"
    SECOND_FACTOR_FAILED = "second_factor_failed", "Wrong code"
    SECOND_FACTOR_THROTTLED = "second_factor_throttled", "Too many codes"
    NOT_CONFIRMED = "not_confirmed", "Wrong password, asked again while signed in"
    MALFORMED = "malformed", "Not an address and a password"


class LoginRecords(models.QuerySet["LoginRecord"]):
    def of(self, user: User) -> "LoginRecords":
        return self.filter(user=user)


class LoginRecord(models.Model):
    """One attempt. `email` is what was typed, only if it is an address: people type passwords into the wrong box.

    `session_ref` is a keyed hash of the session that a successful attempt began, never the session's key.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="login_records", db_index=False)
    email = models.TextField(null=True)
    success = models.BooleanField()
    outcome = models.TextField(choices=Outcome)
    login_time = models.DateTimeField(db_default=Now())
    ip_address = models.TextField("address", null=True)
    location = models.TextField(null=True)
    user_agent = models.TextField("device", null=True)
    session_ref = models.TextField("session", null=True)

    objects: ClassVar[LoginRecords] = LoginRecords.as_manager()  # type: ignore[assignment]  # django-stubs' own idiom

    class Meta:
        db_table = "login_records"
        verbose_name = "sign-in"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "-id"], name="login_records_user"),
            models.Index(fields=["login_time"], name="login_records_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="login_records_outcome_known"),
            models.CheckConstraint(
                condition=Q(success=True, outcome=Outcome.OK) | Q(success=False) & ~Q(outcome=Outcome.OK),
                name="login_records_success_is_ok",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'no address'} {self.login_time:%Y-%m-%d %H:%M}: {self.get_outcome_display()}"

    @property
    def device(self) -> str:
        """The browser in words."""
        return device_name(self.user_agent)
