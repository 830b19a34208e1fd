"""Rules, the alerts that came of them, the windows in which there are none, and what the evaluation remembers."""

from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from hosting.alerts.kinds import STANDING, AlertKind, AlertState, Severity
from hosting.models.inventory import Miner, MinerModel, Site

# PostgreSQL refuses these to customers' requests: what staff wrote and whom, and which rule it was.
ALERT_STAFF_COLUMNS = ("rule", "machines", "suppressed_by", "acknowledged_at", "acknowledged_by", "note", "told_at")


class AlertRule(models.Model):
    """When a machine is in trouble. Of one kind and severity the closest rule counts: model and site, model, site, all."""

    id = models.AutoField(primary_key=True)
    kind = models.TextField(choices=AlertKind)
    severity = models.TextField(choices=Severity, default=Severity.WARNING)
    site = models.ForeignKey(
        Site, models.CASCADE, null=True, blank=True, related_name="+", help_text="Leave empty for every site."
    )
    miner_model = models.ForeignKey(
        MinerModel, models.CASCADE, null=True, blank=True, related_name="+", help_text="Leave empty for every model."
    )
    threshold = models.DecimalField(
        max_digits=8,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Low hashrate: percent of what is expected (75 when empty). Too hot: °C of the hottest chip (the"
        " model's own limits when empty). Other kinds take none.",
    )
    expected = models.TextField(
        null=True,
        blank=True,
        help_text="Wrong pool: part of the pool's address or of the worker that a machine must have; of several,"
        " separated by commas, one suffices. Other kinds take none.",
    )
    minutes = models.PositiveSmallIntegerField(
        "for so many minutes", default=5, validators=[MaxValueValidator(1440)], help_text="How long it must last."
    )
    cooldown_minutes = models.PositiveSmallIntegerField(
        "cool-down (minutes)",
        default=30,
        validators=[MaxValueValidator(1440)],
        help_text="Nobody is told again of the same machine so soon after the last time was over.",
    )
    enabled = models.BooleanField(
        default=True,
        help_text="Switched off, the machines that it fits best are not watched by a wider rule either.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "alert_rules"
        ordering = ["kind", "severity", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "severity", "site", "miner_model"],
                name="alert_rules_one_each",
                nulls_distinct=False,
                violation_error_message="There is a rule of this kind and severity for this site and model: change that one.",
            ),
            models.CheckConstraint(condition=Q(kind__in=AlertKind.values), name="alert_rules_kind_known"),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="alert_rules_severity_known"),
        ]

    def __str__(self) -> str:
        where = " at ".join(str(part) for part in (self.miner_model, self.site) if part)
        return f"{self.get_kind_display()} ({self.severity}){f': {where}' if where else ''}"

    def clean(self) -> None:
        if self.threshold is not None and self.kind not in {AlertKind.LOW_HASHRATE, AlertKind.HOT_CHIP}:
            raise ValidationError({"threshold": "This kind takes no threshold: leave it empty."})
        self.expected = self.expected or None
        if self.expected and self.kind != AlertKind.WRONG_POOL:
            raise ValidationError({"expected": "This kind expects no pool: leave it empty."})


class AlertRows(models.QuerySet["Alert"]):
    def for_user(self, user: User) -> Self:
        """Staff see all or those of their sites; a client those of their own machines, a guest of the machines at their sites."""
        if user.is_staff:
            return self if user.site_ids is None else self.filter(site__in=user.site_ids)
        own = Q(miner__client=user) if user.role == Role.CLIENT else Q(miner__site__in=user.site_ids or ())
        return self.filter(own, miner__isnull=False).defer(*ALERT_STAFF_COLUMNS)

    def standing(self) -> Self:
        """Not resolved yet."""
        return self.filter(state__in=STANDING)

    def on_top(self) -> Self:
        """Standing, and not told by another one of a whole site or rack."""
        return self.standing().filter(suppressed_by__isnull=True)


class Alert(models.Model):
    """One trouble of one machine, or of many of a site at once (then `miner` is empty, and theirs hang on `suppressed_by`)."""

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(AlertRule, models.PROTECT, related_name="alerts", db_index=False)
    kind = models.TextField(choices=AlertKind)
    severity = models.TextField(choices=Severity)
    site = models.ForeignKey(Site, models.CASCADE, related_name="+", db_index=False)
    miner = models.ForeignKey(Miner, models.CASCADE, null=True, related_name="alerts", db_index=False)
    state = models.TextField(choices=AlertState, default=AlertState.OPEN, db_default=AlertState.OPEN)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(help_text="Last reading that showed it.")
    resolved_at = models.DateTimeField(null=True)
    evidence = models.TextField(help_text="What was read, for people.")
    machines = models.IntegerField(default=1, db_default=1, help_text="How many are in it now.")
    suppressed_by = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        related_name="folded",
        db_index=False,
        help_text="The alert that tells of it.",
    )
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False
    )
    note = models.TextField(null=True, help_text="What staff wrote when they took it on.")
    told_at = models.DateTimeField(null=True, help_text="When alert.opened was published.")

    objects = AlertRows.as_manager()

    class Meta:
        db_table = "alerts"
        ordering = ["-opened_at", "-id"]
        indexes = [
            models.Index(fields=["site", "kind"], name="alerts_standing", condition=~Q(state=AlertState.RESOLVED)),
            models.Index(fields=["miner", "-opened_at"], name="alerts_of_a_miner"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "miner"], name="alerts_one_a_machine", condition=~Q(state=AlertState.RESOLVED)
            ),
            models.UniqueConstraint(
                fields=["kind", "severity", "site"],
                name="alerts_one_a_site",
                condition=Q(miner__isnull=True) & ~Q(state=AlertState.RESOLVED),
            ),
            models.CheckConstraint(condition=Q(state__in=AlertState.values), name="alerts_state_known"),
            models.CheckConstraint(
                condition=Q(state=AlertState.RESOLVED, resolved_at__isnull=False)
                | ~Q(state=AlertState.RESOLVED) & Q(resolved_at__isnull=True),
                name="alerts_resolved_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.evidence}"


class AlertSignal(models.Model):
    """What the evaluation remembers of a rule and a machine that it fits: since when, and how often in a row.

    Gone as soon as three readings in a row were good. `alert` is set once it is one.
    """

    pk = models.CompositePrimaryKey("rule_id", "miner_id")
    # No database constraints: the next evaluation drops a signal whose rule or machine is gone.
    rule = models.ForeignKey(AlertRule, models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    miner = models.ForeignKey(Miner, models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    alert = models.ForeignKey(Alert, models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="+")
    since = models.DateTimeField()
    observed_at = models.DateTimeField()
    hits = models.SmallIntegerField(help_text="Bad readings in a row.")
    misses = models.SmallIntegerField(help_text="Good readings in a row.")
    evidence = models.TextField()

    class Meta:
        db_table = "alert_signals"

    def __str__(self) -> str:
        return f"rule {self.rule_id} and miner {self.miner_id} since {self.since:%Y-%m-%d %H:%M}"


class MaintenanceWindowRows(models.QuerySet["MaintenanceWindow"]):
    def for_user(self, user: User) -> Self:
        """Staff see all or those of their sites; customers none."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class MaintenanceWindow(models.Model):
    """A time in which a site, or some of its machines, raise no alert."""

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.CASCADE, related_name="maintenance_windows")
    miners = models.ManyToManyField(
        Miner,
        blank=True,
        related_name="+",
        db_table="maintenance_window_miners",
        help_text="Leave empty for the whole site.",
    )
    starts_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("to")
    reason = models.TextField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = MaintenanceWindowRows.as_manager()

    class Meta:
        db_table = "maintenance_windows"
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="maintenance_windows_forward",
                violation_error_message="The window ends before it begins.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.site}: {self.reason}"
