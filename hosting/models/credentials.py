from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hosting.control import Login
from hosting.control.factory import MAKES
from hosting.models.inventory import Miner, Site
from minefarm.lib.sealing import seal, unseal

PURPOSE = "miner login"
SEALED = "password_sealed"


class CredentialManager(models.Manager["MinerCredential"]):
    """Leaves the sealed passwords in the database until one is asked for."""

    def get_queryset(self) -> models.QuerySet["MinerCredential"]:
        return super().get_queryset().defer(SEALED)


class MinerCredential(models.Model):
    """The login of one machine, of a make at a site, or of everything at a site; the narrowest that fits is used.

    The password is sealed with the installation's keys and shown to nobody again, staff included.
    """

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(
        Site,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="For machines of this site; leave the machine empty.",
    )
    make = models.TextField(
        choices=[(make, make) for make in MAKES],
        blank=True,
        default="",
        db_default="",
        help_text="Only for machines with firmware of this make; empty: all at the site.",
    )
    miner = models.OneToOneField(
        Miner,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="For this machine alone; leave site and make empty.",
    )
    user = models.TextField("user name", blank=True, default="", db_default="", help_text="Some makes have none.")
    password_sealed = models.TextField(editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = CredentialManager()

    class Meta:
        db_table = "miner_credentials"
        verbose_name = "miner login"
        ordering = ["site__name", "make", "miner__serial_number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(site__isnull=False, miner__isnull=True)
                | Q(site__isnull=True, miner__isnull=False, make=""),
                name="miner_credentials_site_or_miner",
                violation_error_message="Choose a site (and perhaps a make), or one machine and nothing else.",
            ),
            models.UniqueConstraint(
                fields=["site", "make"],
                name="miner_credentials_one_per_site_and_make",
                violation_error_message="This site has a login for that already: change it instead.",
            ),
        ]

    def __str__(self) -> str:
        if self.miner_id is not None:
            return f"login of {self.miner}"
        return f"login of {self.make or 'all machines'} at {self.site}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.password_sealed:
            raise ValueError("A login needs a password: call set_password() first, with an empty text if it has none.")
        super().save(*args, **kwargs)

    def set_password(self, password: str) -> None:
        """Seal it into the row, unsaved."""
        self.password_sealed = seal(password, purpose=PURPOSE)

    def login(self) -> Login:
        """Raises minefarm.lib.sealing.Unreadable when no present key fits."""
        return Login(self.user, unseal(self.password_sealed, purpose=PURPOSE))

    def clean(self) -> None:
        if self.user != self.user.strip() or not self.user.isprintable():
            raise ValidationError({"user": "Enter the name without blanks around it."})
