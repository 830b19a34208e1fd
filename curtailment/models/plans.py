"""Plans to stop machines, the machines in them, and who approved what."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from curtailment.states import (
    ENDED,
    UNRECOVERED,
    PlanStatus,
    PlanType,
    Priority,
    RecoveryState,
    Strategy,
    TargetRole,
    TargetState,
)
from hosting.models import Miner, MinerCommand, Site

# A row that never was live is of a plan that nobody approved: its client hears nothing of it. The wall says the same.
ANNOUNCED = Q(live=True) | Q(dispatched_at__isnull=False) | Q(ended_at__isnull=False)


class PlanRows(models.QuerySet["CurtailmentPlan"]):
    def for_user(self, user: User) -> Self:
        """Staff: plans of the sites that they reach. A client: plans with machines that were theirs. Nobody else any."""
        if user.role == Role.CLIENT:
            mine = PlanMiner.objects.filter(ANNOUNCED, client=user).values("plan")
            return self.filter(pk__in=mine).exclude(status=PlanStatus.PENDING)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)

    def live(self) -> Self:
        """Approved ones, and those whose machines are not all back."""
        return self.filter(Q(status=PlanStatus.APPROVED) | Q(recovery_state__in=UNRECOVERED))


class CurtailmentPlan(models.Model):
    """From `scheduled_time` until `recovery_time` the site draws `target_power_reduction` MW less than before.

    `status` is the way down and `recovery_state` the way back; both are moved by services and passes alone, and a trigger
    refuses what states.PLAN_MOVES and RECOVERY_MOVES do not name. What an approver was shown is `content_hash` of `version`.
    """

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="curtailment_plans", db_index=False)
    plan_type = models.TextField(choices=PlanType, default=PlanType.MANUAL, db_default=PlanType.MANUAL)
    priority = models.TextField(choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL)
    strategy = models.TextField(choices=Strategy, default=Strategy.LEAST_EFFICIENT, db_default=Strategy.LEAST_EFFICIENT)
    target_power_reduction = models.DecimalField(
        "target (MW)",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Empty: whatever the named machines draw.",
    )
    status = models.TextField(choices=PlanStatus, default=PlanStatus.PENDING, db_default=PlanStatus.PENDING)
    recovery_state = models.TextField(choices=RecoveryState, default=RecoveryState.NONE, db_default=RecoveryState.NONE)
    reason = models.TextField(help_text="Why, for whoever approves it and for the clients whose machines stop.")
    scheduled_time = models.DateTimeField("from")
    recovery_time = models.DateTimeField("until")
    executed_at = models.DateTimeField(null=True, blank=True, help_text="When every machine was off or given up.")
    recovering_at = models.DateTimeField(null=True, blank=True, help_text="When the way back began.")
    recovered_at = models.DateTimeField(null=True, blank=True)
    # Level-triggered: the next pass sees it and brings the machines back, whoever runs it.
    restore_requested_at = models.DateTimeField(null=True, blank=True, help_text="Restore now, before the end.")
    restore_reason = models.TextField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.TextField(null=True, blank=True)
    miners_affected = models.IntegerField(
        "machines", default=0, db_default=0, help_text="Chosen when it was planned; the first so many of its machines."
    )
    planned_reduction = models.DecimalField(
        "planned (MW)", max_digits=12, decimal_places=6, default=0, db_default=0, help_text="Sum of the baselines."
    )
    power_reduced = models.DecimalField(
        "measured (MW)",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Sum of baseline less measured power of the machines that are off; NULL before anything was measured.",
    )
    power_estimated = models.DecimalField(
        "without a meter (MW)",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Baselines of the machines that hash nothing and report no power: not in what was measured.",
    )
    shortfall = models.DecimalField(
        "shortfall (MW)",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Target less measured and estimated, not below 0.",
    )
    preview = models.JSONField(
        default=dict,
        db_default={},
        help_text="What the approver is shown: totals, money, warnings, and the machines left out with their reasons.",
    )
    version = models.IntegerField(default=1, db_default=1)
    content_hash = models.TextField(help_text="SHA-256 of times, target and machines in their order.")
    idempotency_key = models.TextField(null=True, blank=True, unique=True)
    rule = models.ForeignKey(
        "curtailment.CurtailmentRule",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="plans",
        help_text="The rule that made it; its arming is the approval.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="created_by",
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty: a rule, or the command line.",
    )
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="edited_by",
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Who changed it last; neither they nor who made it approve it.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = PlanRows.as_manager()

    class Meta:
        db_table = "curtailment_plans"
        ordering = ["-scheduled_time", "-id"]
        verbose_name = "curtailment plan"
        indexes = [
            models.Index(fields=["site"], name="idx_curtailment_site"),
            models.Index(fields=["status"], name="idx_curtailment_status"),
            models.Index(fields=["scheduled_time"], name="idx_curtailment_scheduled"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=PlanStatus.values), name="curtailment_plans_status_known"),
            models.CheckConstraint(
                condition=Q(recovery_state__in=RecoveryState.values), name="curtailment_plans_recovery_known"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="curtailment_plans_reason"),
            models.CheckConstraint(
                condition=Q(recovery_time__gt=F("scheduled_time")),
                name="curtailment_plans_ends_after_start",
                violation_error_message="The machines come back before they stop: give a later end.",
            ),
            models.CheckConstraint(
                condition=Q(recovery_time__lte=F("scheduled_time") + timedelta(days=7)),
                name="curtailment_plans_a_week_at_most",
                violation_error_message="A plan lasts a week at most: give an earlier end.",
            ),
            models.CheckConstraint(
                condition=Q(target_power_reduction__isnull=True) | Q(target_power_reduction__gt=0),
                name="curtailment_plans_target_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"plan {self.pk}"

    @property
    def target_kw(self) -> Decimal:
        """What was asked for, or what the named machines draw."""
        mw = self.planned_reduction if self.target_power_reduction is None else self.target_power_reduction
        return mw * 1000

    @property
    def planned_kw(self) -> Decimal:
        return self.planned_reduction * 1000


class PlanMinerRows(models.QuerySet["PlanMiner"]):
    def for_user(self, user: User) -> Self:
        """Staff: machines of plans that they reach. A client: rows of machines that were theirs then."""
        if user.role == Role.CLIENT:
            return self.filter(ANNOUNCED, client=user)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(plan__site__in=user.site_ids)

    def open(self) -> Self:
        return self.exclude(state__in=ENDED)


class PlanMiner(models.Model):
    """One machine in a plan, in the order of shutting down.

    `live` from approval until it is done or released. `prior_on` is written before the first packet: what was asleep or in
    maintenance before is never touched. `fence` is the lock version of the pass that last wrote the row.
    """

    id = models.AutoField(primary_key=True)
    plan = models.ForeignKey(CurtailmentPlan, models.CASCADE, related_name="targets", db_index=False)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="curtailments", db_index=False)
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Whose machine it was when it was planned.",
    )
    shutdown_order = models.IntegerField()
    role = models.TextField(choices=TargetRole, default=TargetRole.SELECTED, db_default=TargetRole.SELECTED)
    state = models.TextField(choices=TargetState, default=TargetState.PENDING, db_default=TargetState.PENDING)
    live = models.BooleanField(default=False, db_default=False)
    window: "models.Field[Any, Any]" = DateTimeRangeField(help_text="The plan's time, for the rule against overlaps.")
    baseline_w = models.DecimalField(
        "baseline (W)", max_digits=10, decimal_places=2, help_text="Median of the last ten good readings."
    )
    hashrate_ths = models.DecimalField("hashrate (TH/s)", max_digits=10, decimal_places=2, null=True)
    prior_on = models.BooleanField(null=True, help_text="Whether it ran before; NULL until the plan begins.")
    command = models.ForeignKey(
        MinerCommand, models.SET_NULL, null=True, related_name="+", db_index=False, help_text="The order under way."
    )
    attempts = models.IntegerField(default=0, db_default=0, help_text="Orders given in the present direction.")
    next_attempt_at = models.DateTimeField(db_default=Now())
    fence = models.BigIntegerField(null=True)
    dispatched_at = models.DateTimeField(null=True, help_text="First order to sleep.")
    confirmed_at = models.DateTimeField(null=True, help_text="When it was measured to be off.")
    observed_w = models.DecimalField("measured (W)", max_digits=10, decimal_places=2, null=True)
    measured_at = models.DateTimeField(null=True, help_text="When that was read; power falls for a while yet at first.")
    drifts = models.IntegerField(default=0, db_default=0, help_text="How often it came back by itself.")
    release_requested_at = models.DateTimeField(null=True, help_text="Somebody wants this machine back now.")
    restoring_at = models.DateTimeField(null=True, help_text="First order to wake.")
    ended_at = models.DateTimeField(null=True, help_text="On again as measured, or released.")
    last_error = models.TextField(default="", db_default="", blank=True)

    objects = PlanMinerRows.as_manager()

    class Meta:
        db_table = "curtailment_plan_miners"
        ordering = ["plan", "shutdown_order"]
        verbose_name = "machine of a plan"
        verbose_name_plural = "machines of plans"
        indexes = [
            models.Index(fields=["miner"], name="idx_plan_miners_miner"),
            models.Index(fields=["client"], name="idx_plan_miners_client"),
            models.Index(
                fields=["plan", "next_attempt_at"], condition=~Q(state__in=ENDED), name="idx_plan_miners_open"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["plan", "miner"], name="curtailment_plan_miners_once"),
            models.UniqueConstraint(fields=["plan", "shutdown_order"], name="curtailment_plan_miners_order"),
            models.CheckConstraint(
                condition=Q(state__in=TargetState.values), name="curtailment_plan_miners_state_known"
            ),
            models.CheckConstraint(condition=Q(role__in=TargetRole.values), name="curtailment_plan_miners_role_known"),
            # One machine's kilowatts count for one plan at a time; `held` rows count for none.
            ExclusionConstraint(
                name="curtailment_plan_miners_one_claim",
                expressions=[("miner", RangeOperators.EQUAL), ("window", RangeOperators.OVERLAPS)],
                condition=Q(live=True, role=TargetRole.SELECTED),
                violation_error_message="Another plan stops this machine in that time.",
            ),
        ]

    def __str__(self) -> str:
        return f"miner {self.miner_id} in plan {self.plan_id}"


class PlanApproval(models.Model):
    """Who let which content of a plan run; editing the plan voids it. Rows are never changed otherwise, nor deleted."""

    class Kind(models.TextChoices):
        APPROVAL = "approval", "by a second person"
        ALONE = "alone", "by its creator, as the site allows"
        BREAK_GLASS = "break_glass", "break-glass, in an emergency"
        RULE = "rule", "by the rule that was armed"
        EXTENSION = "extension", "of a longer time"

    plan = models.ForeignKey(CurtailmentPlan, models.CASCADE, related_name="approvals")
    kind = models.TextField(choices=Kind)
    version = models.IntegerField()
    content_hash = models.TextField()
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    reason = models.TextField(default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    voided_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "curtailment_approvals"
        ordering = ["-id"]
        verbose_name = "approval"
        constraints = [
            models.UniqueConstraint(
                fields=["plan"],
                condition=Q(voided_at__isnull=True) & ~Q(kind="extension"),
                name="curtailment_approvals_one",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of plan {self.plan_id}"
