"""Making and changing plans: a plan is a draft that was written down."""

from dataclasses import replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from curtailment.content import content_hash
from curtailment.drafting import Ask, Draft, WrongPlan, draft_plan, nothing_to_stop
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.selection import Candidate
from curtailment.states import PLAN_MOVES, PlanStatus, PlanType, Priority, Strategy, TargetRole
from curtailment.trail import note
from events.outbox import publish
from hosting.models import Site


class StaleVersion(Exception):
    """Somebody changed the plan meanwhile, or it has begun; nothing was written."""


class NotAllowed(Exception):
    """The person may not plan curtailments, or not at this site."""


class KeyReused(WrongPlan):
    """The idempotency key stands for another plan."""


def create_plan(draft: Draft, *, idempotency_key: str | None = None, by: User | None) -> CurtailmentPlan:
    """Write the plan down; it waits for approval. `by` None is a rule or the command line. Raises WrongPlan, NotAllowed.

    The same key again gives the plan of the first time, or KeyReused when something else is asked for.
    """
    _may_plan(draft.ask.site, by)
    if idempotency_key and (known := _known(idempotency_key, draft.ask, by)):
        return known
    if not draft.selection.chosen and not draft.field.held:
        raise WrongPlan(nothing_to_stop(draft))
    plan = _as_plan(draft, CurtailmentPlan(created_by=by, idempotency_key=idempotency_key or None))
    targets = _targets(plan, draft)
    plan.content_hash = content_hash(plan, targets)
    try:
        with transaction.atomic():
            plan.save(force_insert=True)
            PlanMiner.objects.bulk_create(targets, batch_size=2000)
            note("created", plan=plan, detail=plan.reason, by=by)
            _tell("curtailment.plan_created", plan, by)
    except IntegrityError:  # the same key at the same moment
        if idempotency_key and (known := _known(idempotency_key, draft.ask, by)):
            return known
        raise
    return plan


def edit_plan(plan: CurtailmentPlan, *, version: int, by: User | None, **changes: Any) -> CurtailmentPlan:
    """Plan it anew with the changes, fields of Ask; old approvals are void. Raises StaleVersion, WrongPlan, NotAllowed.

    `version` is the one that the person saw, and so is `plan.status`: an approval is not voided unseen. Machines are selected
    again, from the named ones where some are named.
    """
    _may_plan(plan.site, by)
    if by is not None and by.pk != plan.created_by_id and not by.may("curtailment:approve"):
        raise NotAllowed("Only its creator and those who approve may change a plan. Ask one of them.")
    draft = draft_plan(replace(ask_of(plan), **changes), but_plan=plan.pk)
    if not draft.selection.chosen and not draft.field.held:
        raise WrongPlan(nothing_to_stop(draft))
    edited = _as_plan(draft, CurtailmentPlan(pk=plan.pk, version=version + 1))
    targets = _targets(edited, draft)
    edited.content_hash = content_hash(edited, targets)
    columns = [
        *("plan_type", "priority", "strategy", "target_power_reduction", "reason", "scheduled_time", "recovery_time"),
        *("miners_affected", "planned_reduction", "preview", "version", "content_hash"),
    ]
    with transaction.atomic():
        waiting = CurtailmentPlan.objects.filter(
            Q(scheduled_time__gt=Now()) | Q(status=PlanStatus.PENDING),
            pk=plan.pk,
            version=version,
            status__in={plan.status} & set(PLAN_MOVES[PlanStatus.PENDING]),
        )
        if not waiting.update(
            status=PlanStatus.PENDING,
            updated_at=timezone.now(),
            edited_by=by,
            **{name: getattr(edited, name) for name in columns},
        ):
            raise StaleVersion("The plan was changed by somebody else, or has begun: load it again and look.")
        PlanApproval.objects.filter(plan=plan, voided_at__isnull=True).update(voided_at=Now())
        plan.targets.all().delete()
        PlanMiner.objects.bulk_create(targets, batch_size=2000)
        plan.refresh_from_db()
        note("edited", plan=plan, data={"version": plan.version}, by=by)
        _tell("curtailment.plan_edited", plan, by)
    return plan


def ask_of(plan: CurtailmentPlan) -> Ask:
    """What the plan was made from; named machines stay named, those that were left out too."""
    ids = plan.preview.get("named")
    if ids is None and (plan.strategy == Strategy.LISTED or plan.target_power_reduction is None):
        ids = plan.targets.values_list("miner_id", flat=True)
    named = None if ids is None else frozenset(ids)
    return Ask(
        site=plan.site,
        starts_at=plan.scheduled_time,
        ends_at=plan.recovery_time,
        target_mw=plan.target_power_reduction,
        strategy=Strategy(plan.strategy),
        miners=named,
        priority=Priority(plan.priority),
        reason=plan.reason,
        plan_type=PlanType(plan.plan_type),
    )


def _may_plan(site: Site, by: User | None) -> None:
    if by is None:
        return
    if not by.may("curtailment:plan"):
        raise NotAllowed("Your role may not plan curtailments. Ask an administrator of the farm.")
    if not Site.objects.for_user(by).filter(pk=site.pk).exists():
        raise NotAllowed("This site is not yours to plan for.")


def _known(key: str, ask: Ask, by: User | None) -> CurtailmentPlan | None:
    plan = CurtailmentPlan.objects.filter(idempotency_key=key).first()
    if plan is None:
        return None
    mine = plan.created_by_id == (by.pk if by else None)
    # Not the start: one that is left out is the moment of each call.
    there = (plan.site_id, plan.target_power_reduction, plan.recovery_time, plan.strategy, plan.priority)
    if not mine or there != (ask.site.pk, ask.target_mw, ask.ends_at, ask.strategy, ask.priority):
        raise KeyReused("This key stands for another plan: use a new key.")
    return plan


def _as_plan(draft: Draft, plan: CurtailmentPlan) -> CurtailmentPlan:
    ask = draft.ask
    plan.site = ask.site
    plan.plan_type, plan.priority, plan.strategy = ask.plan_type, ask.priority, ask.strategy
    plan.target_power_reduction, plan.reason = ask.target_mw, ask.reason
    plan.scheduled_time, plan.recovery_time = ask.starts_at, ask.ends_at
    plan.miners_affected = len(draft.selection.chosen)
    plan.planned_reduction = draft.planned_mw
    plan.preview = draft.preview
    return plan


def _targets(plan: CurtailmentPlan, draft: Draft) -> list[PlanMiner]:
    groups: tuple[tuple[TargetRole, list[Candidate]], ...] = (
        (TargetRole.SELECTED, draft.selection.chosen),
        (TargetRole.RESERVE, draft.selection.reserve),
        (TargetRole.HELD, [one.candidate for one in draft.field.held]),
    )
    flat = [(role, one) for role, machines in groups for one in machines]
    return [
        PlanMiner(
            plan=plan,
            miner_id=one.miner_id,
            client_id=one.client_id,
            shutdown_order=place,
            role=role,
            window=(plan.scheduled_time, plan.recovery_time),
            baseline_w=draft.field.baselines[one.miner_id],
            hashrate_ths=draft.field.hashrates[one.miner_id],
        )
        for place, (role, one) in enumerate(flat, start=1)
    ]


def _tell(event_type: str, plan: CurtailmentPlan, by: User | None) -> None:
    publish(
        event_type,
        about=f"plan:{plan.pk}",
        plan_id=plan.pk,
        site_id=plan.site_id,
        machines=plan.miners_affected,
        planned_kw=float(plan.planned_reduction * 1000),
        scheduled_time=plan.scheduled_time.isoformat(),
        recovery_time=plan.recovery_time.isoformat(),
        by_id=None if by is None else str(by.pk),
    )
