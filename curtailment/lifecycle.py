"""A plan's way from waiting to running or not: approving, cancelling, and making it longer.

Who takes a step is asked here and again by the database (curtailment/guards.py). That people prove who they are before they
approve or extend is for the doors (accounts/stepup.py).
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from curtailment.content import content_hash as hash_of
from curtailment.drafting import HARD_LIMIT
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from curtailment.poke import poke
from curtailment.refusals import IllegalMove, NotAllowed, OwnPlan, PlanConflict, StaleVersion, WrongInput
from curtailment.states import (
    ENDED,
    PLAN_MOVES,
    UNRECOVERED,
    PlanStatus,
    PlanType,
    Priority,
    RecoveryState,
    TargetRole,
    TargetState,
)
from curtailment.steps import NOT_FROZEN, claim_in_turn, is_frozen, locked, may, tell, why, without_second_person
from curtailment.trail import note
from minefarm.lib.clock import database_now

START_WITHIN = timedelta(minutes=15)  # of its time; whatever begins later is cancelled instead
BREAK_GLASS_LONGEST = timedelta(hours=1)
NAMED = 5  # machines of a conflict

RUNNING = (PlanStatus.APPROVED, PlanStatus.EXECUTING, PlanStatus.EXECUTED)
CHANGED = "The plan was changed since you saw it: load it again and look at what it does now."


def approve_plan(
    plan: CurtailmentPlan, *, version: int, content_hash: str, reason: str = "", break_glass: bool = False, by: User
) -> PlanApproval:
    """Let the plan run, as it was shown: `version` and `content_hash` are what the approver saw.

    With `break_glass` one person lets an emergency of at most an hour run, whoever made it; everybody is told. Raises OwnPlan,
    NotAllowed, StaleVersion, PlanConflict, IllegalMove, WrongInput.
    """
    if by is None:
        raise NotAllowed("An approval names who gives it: sign in, or use --by.")
    may("curtailment:approve", plan.site_id, by=by)
    reason = why(reason, needed=break_glass)
    with transaction.atomic():
        claim_in_turn(plan.site_id)
        now = locked(plan)
        kind = _kind(now, break_glass=break_glass, by=by)
        approval = _approve(now, kind, version=version, content_hash=content_hash, reason=reason, by=by)
        if break_glass:
            tell("curtailment.break_glass", now, reason=reason, until=now.recovery_time.isoformat(), by=by)
    plan.refresh_from_db()
    return approval


def approve_by_rule(plan: CurtailmentPlan, *, rule_id: int | str) -> PlanApproval:
    """Let a plan run that an armed rule or schedule made: whoever armed that one agreed to its plans. Raises as above."""
    with transaction.atomic():
        claim_in_turn(plan.site_id)
        now = locked(plan)
        if now.plan_type == PlanType.MANUAL:
            raise OwnPlan("This plan was made by hand: a second person approves it.")
        approval = _approve(
            now,
            PlanApproval.Kind.RULE,
            version=plan.version,
            content_hash=plan.content_hash,
            reason=f"rule {rule_id}",
            by=None,
        )
    plan.refresh_from_db()
    return approval


def cancel_plan(plan: CurtailmentPlan, *, reason: str, by: User | None) -> CurtailmentPlan:
    """End the plan before its time: one that waits does not begin, machines of one that runs come back with the next pass.

    `plan` is as the person saw it: one that was approved or edited meanwhile is looked at first, one that runs is not. Raises
    StaleVersion, NotAllowed, IllegalMove, WrongInput.
    """
    may("curtailment:stop", plan.site_id, by=by)
    reason = why(reason)
    with transaction.atomic():
        now = locked(plan)
        ran = now.recovery_state in UNRECOVERED
        if not ran and now.status != PlanStatus.CANCELLED and (now.status, now.version) != (plan.status, plan.version):
            raise StaleVersion(CHANGED)
        asked = {"restore_requested_at": Now(), "restore_reason": reason} if ran else {}
        open_ones = CurtailmentPlan.objects.filter(
            Q(recovery_state__in=UNRECOVERED, status__in=(PlanStatus.EXECUTING, PlanStatus.EXECUTED))
            | Q(recovery_state=RecoveryState.NONE, status__in=(PlanStatus.PENDING, PlanStatus.APPROVED)),
            pk=plan.pk,
            status__in=PLAN_MOVES[PlanStatus.CANCELLED],
        )
        if not open_ones.update(
            status=PlanStatus.CANCELLED, cancelled_at=Now(), cancel_reason=reason, updated_at=Now(), **asked
        ):
            raise IllegalMove(f"Plan {plan.pk} is {_in_words(now)}: there is nothing to cancel.")
        if not ran:
            _let_go(now)
        note("cancelled", plan=now, detail=reason, data={"was": now.status, "machines_were_off": ran}, by=by)
        tell("curtailment.plan_cancelled", now, reason=reason, was=now.status, by=by)
        poke()
    plan.refresh_from_db()
    return plan


def extend_plan(plan: CurtailmentPlan, *, until: datetime, reason: str, by: User) -> PlanApproval:
    """Let the machines stay off until later; a second person does it, as for the approval.

    Raises OwnPlan, NotAllowed, PlanConflict, IllegalMove, WrongInput.
    """
    if by is None:
        raise NotAllowed("An extension names who gives it: sign in, or use --by.")
    may("curtailment:approve", plan.site_id, by=by)
    reason = why(reason)
    with transaction.atomic():
        claim_in_turn(plan.site_id)
        now = locked(plan)
        if by.pk in _makers(now) and not without_second_person(now.site_id):
            raise OwnPlan("You made this plan: ask a second person to extend it.")
        _check_extension(now, until)
        longer = CurtailmentPlan.objects.get(pk=now.pk)
        longer.recovery_time, longer.version = until, now.version + 1
        new_hash = hash_of(longer)
        approval = PlanApproval.objects.create(
            plan=now,
            kind=PlanApproval.Kind.EXTENSION,
            version=longer.version,
            content_hash=new_hash,
            approver=by,
            reason=reason,
        )
        moved = CurtailmentPlan.objects.filter(
            pk=now.pk,
            version=now.version,
            status__in=RUNNING,
            recovery_state__in=(RecoveryState.NONE, RecoveryState.SCHEDULED),
            restore_requested_at=None,
            recovery_time__gt=Now(),
        ).update(recovery_time=until, version=F("version") + 1, content_hash=new_hash, updated_at=Now())
        if not moved:
            raise StaleVersion(CHANGED)
        _claim(
            now.targets.exclude(state__in=ENDED),
            DateTimeTZRange(now.scheduled_time, until),
            window=DateTimeTZRange(now.scheduled_time, until),
        )
        note("extended", plan=now, detail=reason, data={"until": until.isoformat(), "version": longer.version}, by=by)
        tell("curtailment.plan_extended", now, reason=reason, until=until.isoformat(), by=by)
        poke()
    plan.refresh_from_db()
    return approval


# --- steps of an approval -----------------------------------------------------------------------------------------------


def _kind(plan: CurtailmentPlan, *, break_glass: bool, by: User) -> PlanApproval.Kind:
    if break_glass:
        if plan.priority != Priority.EMERGENCY:
            raise WrongInput("Break-glass is for emergencies: give the plan that priority, or ask a second person.")
        if plan.recovery_time - plan.scheduled_time > BREAK_GLASS_LONGEST:
            raise WrongInput("Break-glass is for an hour at most: shorten the plan, or ask a second person.")
        return PlanApproval.Kind.BREAK_GLASS
    if by.pk not in _makers(plan):
        return PlanApproval.Kind.APPROVAL
    if without_second_person(plan.site_id):
        return PlanApproval.Kind.ALONE
    raise OwnPlan("You made this plan: ask a second person to approve it.")


def _approve(
    plan: CurtailmentPlan, kind: PlanApproval.Kind, *, version: int, content_hash: str, reason: str, by: User | None
) -> PlanApproval:
    if plan.status != PlanStatus.PENDING:
        raise IllegalMove(f"Plan {plan.pk} is {_in_words(plan)}: only one that waits for approval is approved.")
    if (plan.version, plan.content_hash) != (version, content_hash) or hash_of(plan) != content_hash:
        raise StaleVersion(CHANGED)
    if policy := is_frozen(plan.site_id):
        raise IllegalMove(f"{plan.site} is frozen ({policy.frozen_reason}): end that first.")
    if plan.scheduled_time <= database_now() - START_WITHIN:
        raise IllegalMove("The plan's start has passed: give it a new one, and have that approved.")
    approval = PlanApproval.objects.create(
        plan=plan, kind=kind, version=version, content_hash=content_hash, approver=by, reason=reason
    )
    waiting = CurtailmentPlan.objects.filter(
        NOT_FROZEN,
        pk=plan.pk,
        status__in=PLAN_MOVES[PlanStatus.APPROVED],
        version=version,
        content_hash=content_hash,
        scheduled_time__gt=Now() - START_WITHIN,
        recovery_time__gt=Now(),
    )
    if not waiting.update(status=PlanStatus.APPROVED, updated_at=Now()):
        raise StaleVersion(CHANGED)
    _claim(plan.targets.all(), DateTimeTZRange(plan.scheduled_time, plan.recovery_time), live=True)
    note("approved", plan=plan, detail=reason, data={"kind": kind.value, "version": version}, by=by)
    tell(
        "curtailment.plan_approved",
        plan,
        kind=kind.value,
        machines=plan.miners_affected,
        scheduled_time=plan.scheduled_time.isoformat(),
        recovery_time=plan.recovery_time.isoformat(),
        by=by,
    )
    poke()
    return approval


def _claim(targets: "QuerySet[PlanMiner]", during: DateTimeTZRange, **values: object) -> None:
    """Write the claims; raises PlanConflict with the plans and machines that stand in the way."""
    try:
        with transaction.atomic():
            targets.update(**values)
    except IntegrityError as error:
        if "one_claim" not in str(error):
            raise
    else:
        return
    wanted = targets.filter(role=TargetRole.SELECTED)
    others = (
        PlanMiner.objects.filter(
            live=True, role=TargetRole.SELECTED, window__overlap=during, miner__in=wanted.values("miner")
        )
        .exclude(pk__in=wanted.values("pk"))
        .order_by("plan_id", "shutdown_order")
    )
    found = list(others.values_list("plan_id", "miner__serial_number"))
    plans = ", ".join(map(str, sorted({plan_id for plan_id, _ in found})))
    serials = ", ".join(serial for _, serial in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    raise PlanConflict(
        f"Plan {plans} stops {serials}{more} in that time: cancel it, choose another time, or plan anew without them."
    )


def _let_go(plan: CurtailmentPlan) -> None:
    """Targets of a plan that never began; those that were claimed have an end, the others nobody ever heard of."""
    claimed = plan.targets.filter(live=True)
    claimed.update(state=TargetState.RELEASED, live=False, ended_at=Now(), last_error="the plan was cancelled")
    plan.targets.exclude(state__in=ENDED).update(state=TargetState.RELEASED, last_error="the plan was cancelled")


def _check_extension(plan: CurtailmentPlan, until: datetime) -> None:
    if plan.status not in RUNNING or plan.recovery_state not in {RecoveryState.NONE, RecoveryState.SCHEDULED}:
        raise IllegalMove(f"Plan {plan.pk} is {_in_words(plan)}: only one that holds machines off is extended.")
    if plan.restore_requested_at is not None or plan.recovery_time <= timezone.now():
        raise IllegalMove(f"The machines of plan {plan.pk} are coming back already: make a new plan.")
    if until.tzinfo is None or until <= plan.recovery_time:
        raise WrongInput(f"Give an end after {plan.recovery_time:%Y-%m-%d %H:%M %Z}, with its time zone.")
    minutes = SitePolicy.of(plan.site).max_minutes
    if until - plan.scheduled_time > min(HARD_LIMIT, timedelta(minutes=minutes)):
        raise WrongInput(f"{plan.site} is curtailed for at most {minutes} minutes: give an earlier end.")


def _makers(plan: CurtailmentPlan) -> set[UUID]:
    """Who decided what the plan does: who made it, and who edited it last."""
    return {pk for pk in (plan.created_by_id, plan.edited_by_id) if pk is not None}


def _in_words(plan: CurtailmentPlan) -> str:
    back = "" if plan.recovery_state == RecoveryState.NONE else f", {plan.get_recovery_state_display()}"
    return f"{plan.get_status_display()}{back}".lower()
