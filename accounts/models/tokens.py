"""API tokens: what a program shows instead of a password. Only the digest is kept."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken, get_digest_token

from accounts.models.people import User
from minefarm.lib.network import is_within

# What a token may do, within what its owner's role may: approving is for people alone and will never be here.
SCOPES = {"read": "Read what you may see", "write": "Change what you may change"}


class ApiTokenRows(models.QuerySet["ApiToken"]):
    def for_user(self, user: User) -> Self:
        """A person's own tokens, whatever their role."""
        return self.filter(user=user)

    def usable(self, now: datetime) -> Self:
        """Neither expired nor revoked."""
        return self.filter(expiry__gt=now, revoked_at=None)

    def make(self, **fields: object) -> tuple["ApiToken", str]:
        """Save a new token; the second value is the secret, which exists nowhere else."""
        digest, secret = get_digest_token()
        return self.create(digest=digest, token_key=secret[: ApiToken.SHOWN], **fields), secret


class ApiToken(AbstractAuthToken):
    """`token_key` is the visible start of the secret, `digest` the SHA-512 of all of it."""

    SHOWN = 15  # of the secret's 67 characters; knox looks tokens up by so many

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    token_key = models.CharField("starts with", max_length=25, db_index=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=100, help_text="Where it is used.")
    scopes = ArrayField(models.TextField(choices=list(SCOPES.items())))
    addresses = ArrayField(models.TextField(), default=list, blank=True, help_text="Networks; empty: from anywhere.")
    expiry = models.DateTimeField("expires")
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="Within a minute.")
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )

    objects = ApiTokenRows.as_manager()

    class Meta:
        db_table = "api_tokens"
        ordering = ["-id"]
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=list(SCOPES)), name="api_tokens_scopes_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"

    @property
    def state(self) -> str:
        """active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expiry > timezone.now() else "expired"

    def is_allowed_from(self, address: str | None) -> bool:
        """Whether the address lies in one of the token's networks, or it has none."""
        return is_within(address, self.addresses)
