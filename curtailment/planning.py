"""Making and changing plans: a draft is read and may be thrown away, a plan is a draft that was written down."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from curtailment.candidates import Field, borne_kwh, field_of, unknown
from curtailment.content import content_hash
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from curtailment.preview import MW, preview
from curtailment.selection import NOT_NAMED, Candidate, Selection, select
from curtailment.states import PLAN_MOVES, PlanStatus, PlanType, Priority, Strategy, TargetRole
from curtailment.trail import note
from events.outbox import publish
from hosting.models import Miner, Site
from minefarm.lib.clock import database_now

MAX_REASON = 500
HARD_LIMIT = timedelta(days=7)
LATE = timedelta(minutes=15)  # a start so long ago means now; an older one is a mistake
SHOWN_WRONG = 5
# As the column has it: what was rounded when it is stored would not be what its hash says, and nobody could approve it.
TOO_MUCH_MW, A_WATT_MW = Decimal(1_000_000), Decimal("0.000001")


class WrongPlan(ValueError):
    """What was asked for cannot be planned; the message says what to give."""


class StaleVersion(Exception):
    """Somebody changed the plan meanwhile, or it has begun; nothing was written."""


class NotAllowed(Exception):
    """The person may not plan curtailments, or not at this site."""


class KeyReused(WrongPlan):
    """The idempotency key stands for another plan."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants. Without `target_mw` it is whatever the named machines draw; `miners` are ids, None for all."""

    site: Site
    starts_at: datetime
    ends_at: datetime
    target_mw: Decimal | None = None
    strategy: Strategy = Strategy.LEAST_EFFICIENT
    miners: frozenset[int] | None = None
    priority: Priority = Priority.NORMAL
    reason: str = ""
    plan_type: PlanType = PlanType.MANUAL


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be written: the machines in their order, what is held, and the preview."""

    ask: Ask
    selection: Selection
    field: Field
    preview: dict[str, Any]

    @property
    def planned_mw(self) -> Decimal:
        watts = sum((self.field.baselines[one.miner_id] for one in self.selection.chosen), Decimal())
        return watts / MW


def draft_plan(ask: Ask, *, but_plan: int | None = None, now: datetime | None = None) -> Draft:
    """Select the machines; reads only, and gives the same again for the same readings. Raises WrongPlan.

    `but_plan` is the plan that is being edited: its own claims do not stand in its way.
    """
    now = now or database_now()
    ask = _checked(ask, now)
    found = field_of(ask.site, ask.starts_at, ask.ends_at, now=now, priority=ask.priority, but_plan=but_plan)
    if ask.miners is not None and (strangers := unknown(ask.miners, found)):
        named = ", ".join(map(str, strangers[:SHOWN_WRONG]))
        raise WrongPlan(f"Not machines of {ask.site}: {named}. Name machines of this site.")
    selection = select(
        found.candidates,
        target_w=None if ask.target_mw is None else float(ask.target_mw * MW),
        strategy=ask.strategy,
        borne_kwh=borne_kwh(ask.site, now) if ask.strategy == Strategy.FAIR_SHARE else None,
        listed=ask.miners,
    )
    left_out = found.left_out | selection.left_out
    if ask.miners is not None:  # nobody asks why a machine that was not named is not in
        left_out = {pk: why for pk, why in left_out.items() if pk in ask.miners and why != NOT_NAMED}
        found = replace(found, held=[one for one in found.held if one.candidate.miner_id in ask.miners])
    shown = preview(
        selection,
        held=len(found.held),
        left_out=left_out,
        serials=found.serials,
        clients=_clients(selection),
        hashprice=found.hashprice,
        hashprice_at=found.hashprice_at,
        price_per_kwh=found.price_per_kwh,
        minutes=round((ask.ends_at - ask.starts_at).total_seconds() / 60),
        policy=SitePolicy.of(ask.site),
    )
    shown["named"] = None if ask.miners is None else sorted(ask.miners)
    return Draft(ask, selection, found, shown)


def create_plan(draft: Draft, *, idempotency_key: str | None = None, by: User | None) -> CurtailmentPlan:
    """Write the plan down; it waits for approval. `by` None is a rule or the command line. Raises WrongPlan, NotAllowed.

    The same key again gives the plan of the first time, or KeyReused when something else is asked for.
    """
    _may_plan(draft.ask.site, by)
    if idempotency_key and (known := _known(idempotency_key, draft.ask, by)):
        return known
    if not draft.selection.chosen and not draft.field.held:
        raise WrongPlan(_nothing_to_stop(draft))
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
        raise WrongPlan(_nothing_to_stop(draft))
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


def miner_ids(serials: Collection[str], site: Site) -> frozenset[int]:
    """Ids of the site's machines with these serial numbers or ids. Raises WrongPlan with those that there are not."""
    found = dict(Miner.objects.in_service().filter(site=site).values_list("serial_number", "pk"))
    numbers = set(found.values())
    ids, missing = set(), []
    for given in serials:
        if given in found:
            ids.add(found[given])
        elif given.isdecimal() and int(given) in numbers:
            ids.add(int(given))
        else:
            missing.append(given)
    if missing:
        raise WrongPlan(f"Not machines of {site}: {', '.join(missing[:SHOWN_WRONG])}. Name machines of this site.")
    return frozenset(ids)


def _checked(ask: Ask, now: datetime) -> Ask:
    reason = ask.reason.strip()
    limit = min(HARD_LIMIT, timedelta(minutes=SitePolicy.of(ask.site).max_minutes))
    wrong = (
        (not reason, "Say why, for whoever approves it and for the clients whose machines stop."),
        (len(reason) > MAX_REASON or "\0" in reason, f"The reason is plain text of at most {MAX_REASON} characters."),
        (ask.starts_at < now - LATE, "The start has passed: give one from now on."),
        (ask.ends_at <= ask.starts_at, "The machines come back before they stop: give a later end."),
        (ask.ends_at <= now, "The end has passed: give a later one."),
        (
            ask.ends_at - ask.starts_at > limit,
            f"{ask.site} is curtailed for at most {limit.total_seconds() / 60:.0f} minutes: give an earlier end.",
        ),
        (
            ask.target_mw is not None and not ask.target_mw > 0,
            "The target is MW above 0, such as 1.5.",
        ),
        (ask.target_mw is not None and ask.target_mw >= TOO_MUCH_MW, "The target is in MW, below 1,000,000."),
        (
            ask.target_mw is not None and ask.target_mw < TOO_MUCH_MW and ask.target_mw % A_WATT_MW != 0,
            "The target is MW with at most 6 digits after the point, which is whole watts.",
        ),
        (
            ask.target_mw is None and ask.miners is None,
            "Give a target in MW, or name the machines.",
        ),
        (ask.strategy == Strategy.LISTED and not ask.miners, "Name the machines, or choose another strategy."),
    )
    if told := next((text for is_so, text in wrong if is_so), None):
        raise WrongPlan(told)
    # A plan for now begins now: the clocks of people and of the database differ by seconds.
    return replace(ask, reason=reason, starts_at=max(ask.starts_at, now))


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
    same = (plan.site_id, plan.target_power_reduction, plan.recovery_time) == (ask.site.pk, ask.target_mw, ask.ends_at)
    if not (mine and same):
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


def _clients(selection: Selection) -> dict[str, str]:
    ids = {one.client_id for one in selection.chosen if one.client_id}
    return {str(user.pk): str(user) for user in User.objects.filter(pk__in=ids)}


def _nothing_to_stop(draft: Draft) -> str:
    reasons = "; ".join(f"{count:,} because {why}" for why, count in list(draft.preview["left_out"].items())[:3])
    return f"No machine of {draft.ask.site} can be stopped: {reasons or 'it has none'}."


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
