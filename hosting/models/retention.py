"""What retention may not delete, and what it has deleted."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from minefarm.lib.retention import rules


class RetentionHold(models.Model):
    """Rows of a table that must stay, whatever their age: a dispute, an audit. Ends when it is released."""

    table = models.TextField(help_text="Name of the table, or * for all.")
    starts_at = models.DateTimeField(help_text="First moment of the rows that must stay.")
    ends_at = models.DateTimeField(help_text="First moment after them.")
    reason = models.TextField()
    placed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    placed_at = models.DateTimeField(db_default=Now(), editable=False)
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "retention_holds"
        ordering = ["-placed_at"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="retention_hold_not_empty")]

    def __str__(self) -> str:
        return f"{self.table} {self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}: {self.reason}"

    def clean(self) -> None:
        known = ["*", *(rule.table for rule in rules())]
        if self.table not in known:  # a hold of a misspelt table would hold nothing
            raise ValidationError({"table": f"Retention knows no such table: choose one of {', '.join(known)}."})


class RetiredDay(models.Model):
    """A day of readings taken out of the history: detached first, dropped a day later."""

    day = models.DateField(primary_key=True)
    readings = models.BigIntegerField()
    size_bytes = models.BigIntegerField()
    detached_at = models.DateTimeField()
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "telemetry_retired_days"

    def __str__(self) -> str:
        return f"readings of {self.day}"
