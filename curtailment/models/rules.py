"""Rules that make plans by themselves, and the sources whose signals some of them follow."""

import uuid
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment.states import Priority, Strategy
from curtailment.triggers import power_cap, price, schedule, signals, temperature
from curtailment.triggers.signals import FailSafe, Kind
from curtailment.triggers.wishes import BadSettings
from hosting.models import Site

USER = settings.AUTH_USER_MODEL
A_WEEK_MIN = 7 * 24 * 60


class RuleKind(models.TextChoices):
    SCHEDULE = "schedule", "times of the week"
    PRICE = "price", "price of electricity"
    POWER_CAP = "power_cap", "power cap of the site"
    TEMPERATURE = "temperature", "air at the inlets"
    SIGNAL = "signal", "signal of a utility"


READERS = {
    RuleKind.SCHEDULE: schedule.parse,
    RuleKind.PRICE: price.parse,
    RuleKind.POWER_CAP: power_cap.parse,
    RuleKind.TEMPERATURE: temperature.parse,
    RuleKind.SIGNAL: signals.parse,
}
# What a rule does; a change of it disarms. Names and what the evaluation remembers are not in it.
CONTENT = (
    *("site_id", "kind", "priority", "strategy", "target_mw", "share_percent", "settings", "source_id"),
    *("min_on_minutes", "min_off_minutes", "cool_down_minutes", "max_minutes"),
)


class StaffRows(models.QuerySet[Any]):
    def for_user(self, user: User) -> Self:
        """Staff: those of the sites that they reach; nobody else any."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class SignalSource(models.Model):
    """Who may ask a site for less power: its token opens one door and its secret signs for another; both are shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, models.CASCADE, related_name="signal_sources")
    name = models.TextField(help_text="Who it is, such as the utility and its programme.")
    token_digest = models.TextField(null=True, unique=True, editable=False)
    token_prefix = models.TextField("token starts with", null=True, editable=False)
    sealed_secret = models.TextField(null=True, editable=False)
    silent_after_s = models.PositiveIntegerField(
        "silent after (s)",
        null=True,
        blank=True,
        validators=[MinValueValidator(30), MaxValueValidator(86_400)],
        help_text="For a source that promised a heartbeat: how long it may be silent. Usual: 240. Empty: it promised none.",
    )
    fail_safe = models.TextField(
        "while it is silent",
        choices=[
            (FailSafe.HOLD, "leave everything as it is"),
            (FailSafe.RESTORE, "bring the machines back"),
            (FailSafe.CURTAIL, "stop the machines"),
        ],
        default=FailSafe.HOLD,
        db_default=FailSafe.HOLD,
    )
    override = models.TextField(
        choices=[(one, str(one)) for one in FailSafe],
        null=True,
        editable=False,
        help_text="What a person decided instead of it.",
    )
    override_until = models.DateTimeField(null=True, editable=False)
    overridden_by = models.ForeignKey(USER, models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    last_heard_at = models.DateTimeField(null=True, editable=False)
    silent_since = models.DateTimeField(null=True, editable=False, help_text="When it was told to be silent.")
    disabled_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(USER, models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = StaffRows.as_manager()

    class Meta:
        db_table = "curtailment_signal_sources"
        ordering = ["site", "name"]
        verbose_name = "signal source"
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="curtailment_sources_name"),
            models.CheckConstraint(
                condition=Q(fail_safe__in=list(FailSafe)), name="curtailment_sources_fail_safe_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Signal(models.Model):
    """One message of a source, kept as it was understood; never changed but for what came of it."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(SignalSource, models.CASCADE, related_name="signals", db_index=False)
    external_id = models.TextField(help_text="The source's own name for the message: the same again changes nothing.")
    event = models.TextField(default="", db_default="", blank=True, help_text="What it is about; empty: all it asked.")
    site = models.ForeignKey(Site, models.CASCADE, related_name="+", db_index=False)
    kind = models.TextField(choices=[(one, str(one)) for one in Kind])
    level = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    mw = models.DecimalField("MW", max_digits=12, decimal_places=6, null=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(db_default=Now())
    digest = models.TextField(help_text="SHA-256 of the bytes that came.")
    door = models.TextField(help_text="api, webhook or openadr.")
    result = models.TextField(default="", db_default="", blank=True)

    objects = StaffRows.as_manager()

    class Meta:
        db_table = "curtailment_signals"
        ordering = ["-id"]
        indexes = [models.Index(fields=["source", "-received_at"], name="idx_curtailment_signals_newest")]
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="curtailment_signals_once"),
            models.CheckConstraint(condition=Q(kind__in=list(Kind)), name="curtailment_signals_kind_known"),
            models.CheckConstraint(condition=Q(mw__isnull=True) | Q(mw__gt=0), name="curtailment_signals_mw_positive"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="curtailment_signals_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.external_id}"


class CurtailmentRule(models.Model):
    """When to stop machines without being asked. Only an armed rule acts, and arming takes a second person and a dry run.

    The last columns are what one evaluation leaves to the next (triggers/wishes.Memory).
    """

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="curtailment_rules")
    name = models.TextField()
    kind = models.TextField(choices=RuleKind)
    priority = models.TextField(choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL)
    strategy = models.TextField(
        choices=[one for one in Strategy.choices if one[0] != Strategy.LISTED],
        default=Strategy.LEAST_EFFICIENT,
        db_default=Strategy.LEAST_EFFICIENT,
    )
    target_mw = models.DecimalField(
        "target (MW)", max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    share_percent = models.DecimalField(
        "share of the site (%)",
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Of what the site draws when it begins. With neither MW nor a share: every machine that may be stopped.",
    )
    settings = models.JSONField(default=dict, blank=True)
    source = models.ForeignKey(
        SignalSource, models.PROTECT, null=True, blank=True, related_name="rules", db_index=False
    )
    min_on_minutes = models.PositiveIntegerField(
        "off at least (min)", default=15, validators=[MaxValueValidator(A_WEEK_MIN)], help_text="Once it has stopped."
    )
    min_off_minutes = models.PositiveIntegerField(
        "on at least (min)", default=30, validators=[MaxValueValidator(A_WEEK_MIN)], help_text="Before it stops again."
    )
    cool_down_minutes = models.PositiveIntegerField(
        "rest (min)",
        default=60,
        validators=[MaxValueValidator(A_WEEK_MIN)],
        help_text="After the longest time was reached, or somebody ended it by hand.",
    )
    max_minutes = models.PositiveIntegerField(
        "longest time (min)",
        default=240,
        validators=[MinValueValidator(5), MaxValueValidator(A_WEEK_MIN)],
        help_text="The site's own longest time counts, too.",
    )
    version = models.IntegerField(default=1, db_default=1, editable=False)
    content_hash = models.TextField(default="", editable=False)
    edited_by = models.ForeignKey(USER, models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    edited_at = models.DateTimeField(db_default=Now(), editable=False)
    tried_hash = models.TextField(default="", db_default="", editable=False, help_text="What was shown in a dry run.")
    tried_at = models.DateTimeField(null=True, editable=False)
    armed = models.BooleanField(default=False, db_default=False, editable=False)
    armed_by = models.ForeignKey(USER, models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    armed_at = models.DateTimeField(null=True, editable=False)
    last_evaluated_at = models.DateTimeField(null=True, editable=False)
    last_result = models.TextField(default="", db_default="", editable=False)
    active_since = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    rests = models.BooleanField(default=False, db_default=False, editable=False)
    counted_window = models.DateTimeField(null=True, editable=False)
    windows_above = models.IntegerField(default=0, db_default=0, editable=False)
    windows_below = models.IntegerField(default=0, db_default=0, editable=False)

    objects = StaffRows.as_manager()

    class Meta:
        db_table = "curtailment_rules"
        ordering = ["site", "name"]
        verbose_name = "curtailment rule"
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="curtailment_rules_name"),
            models.CheckConstraint(condition=Q(kind__in=RuleKind.values), name="curtailment_rules_kind_known"),
            models.CheckConstraint(
                condition=Q(target_mw__isnull=True) | Q(target_mw__gt=0), name="curtailment_rules_target_positive"
            ),
            models.CheckConstraint(
                condition=Q(target_mw__isnull=True) | Q(share_percent__isnull=True), name="curtailment_rules_one_target"
            ),
            # What is armed is what was shown, by somebody.
            models.CheckConstraint(
                condition=Q(armed=False)
                | (Q(tried_hash=F("content_hash")) & Q(armed_by__isnull=False) & ~Q(content_hash="")),
                name="curtailment_rules_armed_as_shown",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError by field, `settings` naming the setting."""
        if self.target_mw is not None and self.share_percent is not None:
            raise ValidationError({"share_percent": "Give MW or a share, not both."})
        if self.target_mw is not None and self.target_mw <= 0:
            raise ValidationError({"target_mw": "The target is MW above 0, such as 1.5."})
        if (self.kind == RuleKind.SIGNAL) != (self.source_id is not None):
            wanted = (
                "Choose whose signals it follows." if self.kind == RuleKind.SIGNAL else "Only signal rules have one."
            )
            raise ValidationError({"source": wanted})
        if self.source is not None and self.source.site_id != self.site_id:
            raise ValidationError({"source": "This source is of another site."})
        if self.min_on_minutes > self.max_minutes:
            raise ValidationError({"min_on_minutes": "This is more than the longest time."})
        try:
            self.read_settings()
        except BadSettings as bad:
            raise ValidationError({"settings": f"{bad.field}: {bad}"}) from None

    def read_settings(self) -> Any:
        """The kind's settings as its own type. Raises BadSettings."""
        if not isinstance(self.settings, dict):
            raise BadSettings("settings", "Give a JSON object.")
        if self.kind not in READERS:
            raise BadSettings("kind", f"Give one of {', '.join(RuleKind.values)}.")
        return READERS[RuleKind(self.kind)](self.settings)
