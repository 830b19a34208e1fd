"""Agents at sites that the farm cannot reach: the token that lets one report, and what was last heard of it."""

import hashlib
import secrets

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from hosting.models.inventory import Site
from minefarm.lib.network import is_within

PREFIX = "mfa_"  # for secret scanners
SHOWN = len(PREFIX) + 6
LONGEST = 100


def digest_of(secret: str) -> str:
    """What is stored of a token. It has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class SiteTokenRows(models.QuerySet["SiteToken"]):
    def make(self, **fields: object) -> tuple["SiteToken", str]:
        """Save a new token; the second value is the secret, which exists nowhere else."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return self.create(digest=digest_of(secret), prefix=secret[:SHOWN], **fields), secret

    def presented(self, secret: str) -> "SiteToken | None":
        """The token that this text is, revoked or not."""
        if not secret.startswith(PREFIX) or len(secret) > LONGEST or not secret.isascii():
            return None
        return self.filter(digest=digest_of(secret)).select_related("site").first()


class SiteToken(models.Model):
    """The right of one agent to read one site's targets and to report its minutes; nothing else."""

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.CASCADE, related_name="tokens")
    name = models.TextField(help_text="Where the agent runs.")
    digest = models.TextField(unique=True, editable=False)
    prefix = models.TextField("starts with", editable=False)
    addresses = ArrayField(models.TextField(), default=list, blank=True, help_text="Networks; empty: from anywhere.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="Within a minute.")
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )

    objects = SiteTokenRows.as_manager()

    class Meta:
        db_table = "hosting_site_tokens"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def state(self) -> str:
        """active or revoked."""
        return "active" if self.revoked_at is None else "revoked"

    def is_allowed_from(self, address: str | None) -> bool:
        """Whether the address lies in one of the token's networks, or it has none."""
        return is_within(address, self.addresses)


class SiteAgent(models.Model):
    """What was last heard of a site's agent. A row exists while the site is read by one."""

    site = models.OneToOneField(Site, models.CASCADE, primary_key=True, related_name="agent")
    expected_since = models.DateTimeField(db_default=Now(), help_text="When the site was given to an agent.")
    newest_minute = models.DateTimeField(null=True, help_text="Newest minute that it reported.")
    heard_at = models.DateTimeField(null=True, help_text="Its last report, of whatever minute.")
    waiting = models.IntegerField(default=0, help_text="Minutes that wait at the site to be sent.")
    silent_since = models.DateTimeField(null=True, help_text="Set after five minutes without a new minute.")

    class Meta:
        db_table = "hosting_site_agents"

    def __str__(self) -> str:
        return f"agent of site {self.pk}"
