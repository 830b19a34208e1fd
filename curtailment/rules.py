"""Rules at work: what armed rules want now becomes plans, and ends them. Level-triggered, one row's lock per rule."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from curtailment import facts
from curtailment.drafting import Ask, WrongPlan, draft_plan
from curtailment.lifecycle import approve_by_rule, cancel_plan, extend_plan
from curtailment.models import CurtailmentPlan, CurtailmentRule, RuleKind, SitePolicy
from curtailment.overrides import restore_now
from curtailment.planning import create_plan
from curtailment.refusals import REFUSED, IllegalMove
from curtailment.sources import watch_silence
from curtailment.states import PlanStatus, PlanType, Priority, RecoveryState, Strategy
from curtailment.triggers.dwell import ended, step
from curtailment.triggers.wishes import Act, BadSettings, Decision, Memory
from events.outbox import publish
from hosting.models import Miner
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

# An obligation towards the grid goes before the site's own safety limits, those before a schedule, that before a price.
KINDS_FIRST = (RuleKind.SIGNAL, RuleKind.POWER_CAP, RuleKind.TEMPERATURE, RuleKind.SCHEDULE, RuleKind.PRICE)
PRIORITIES_FIRST = (Priority.EMERGENCY, Priority.HIGH, Priority.NORMAL)
LEAST_MORE = Decimal("0.01")  # share of what is wanted below which nothing is added
SHORTEST = timedelta(minutes=5)
LEASE = timedelta(minutes=30)
RENEW_BEFORE = timedelta(minutes=10)
A_MINUTE = timedelta(minutes=1)
NOT_BEGUN = "it would stop machines, but: "


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one rule; `plans` were made or ended by it."""

    rule_id: int
    name: str
    act: Act
    why: str
    plans: tuple[int, ...] = ()


def evaluate_rules(
    rules: Iterable[CurtailmentRule] | None = None, *, now: datetime | None = None, dry_run: bool = False
) -> list[Evaluated]:
    """Every armed rule once, those that go before others first. A rule that fails does not stop the rest.

    With `dry_run` unarmed rules are evaluated, too, and nothing is written.
    """
    now = now or database_now()
    if not dry_run:
        watch_silence(now)
    found = CurtailmentRule.objects.select_related("site", "source") if rules is None else rules
    done = []
    for rule in sorted(found, key=_order):
        if not (rule.armed or dry_run):
            continue
        try:
            done.append(look(rule, now) if dry_run else evaluate(rule.pk, now=now))
        except Exception as failed:
            log.exception("rule %s failed", rule.pk)
            done.append(Evaluated(rule.pk, rule.name, Act.HOLD, f"failed: {type(failed).__name__}: {failed}"))
    return [one for one in done if one is not None]


def look(rule: CurtailmentRule, now: datetime) -> Evaluated:
    """What it would do now; reads only."""
    try:
        _, decision, _ = _decide(rule, now)
    except BadSettings as bad:
        return Evaluated(rule.pk, rule.name, Act.HOLD, f"{bad.field}: {bad}")
    return Evaluated(rule.pk, rule.name, decision.act, decision.why)


@transaction.atomic
def evaluate(rule_id: int, *, now: datetime) -> Evaluated | None:
    """Evaluate one armed rule and act; None when it is not armed, or somebody else evaluates it at this moment."""
    rule = (
        CurtailmentRule.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("site", "source", "armed_by")
        .filter(pk=rule_id, armed=True)
        .first()
    )
    if rule is None:
        return None
    try:
        memory, decision, plans = _decide(rule, now)
    except BadSettings as bad:  # settings of an older release
        return _remember(rule, facts.memory_of(rule), Decision(Act.HOLD, f"{bad.field}: {bad}"), now, ())
    touched: tuple[int, ...] = ()
    if decision.act in {Act.START, Act.EXTEND}:
        try:
            touched = _stop_machines(rule, decision, plans, now, memory)
        except (WrongPlan, IntegrityError, *REFUSED) as refused:
            decision = Decision(Act.HOLD, f"{decision.why}; {NOT_BEGUN}{_first_line(refused)}")
            if not plans:
                memory = facts.memory_of(rule) if rule.active_since is None else ended(memory, now, rests=False)
    elif decision.act == Act.STOP:
        touched = bring_back(plans, decision.why)
    return _remember(rule, memory, decision, now, touched)


def open_plans(rule: CurtailmentRule) -> list[CurtailmentPlan]:
    """Plans by which the rule holds machines, or is about to."""
    return list(
        CurtailmentPlan.objects.filter(
            rule=rule,
            status__in=[PlanStatus.APPROVED, PlanStatus.EXECUTING, PlanStatus.EXECUTED],
            recovery_state__in=[RecoveryState.NONE, RecoveryState.SCHEDULED],
            restore_requested_at=None,
        ).order_by("id")
    )


def bring_back(plans: Sequence[CurtailmentPlan], why: str) -> tuple[int, ...]:
    """Ask for the machines of these plans; the next pass wakes them, whoever runs it. One that did not begin is cancelled."""
    for plan in plans:
        try:
            with transaction.atomic():
                if plan.status == PlanStatus.APPROVED:
                    cancel_plan(plan, reason=why[:500], by=None)
                else:
                    restore_now(plan, reason=why[:500], by=None)
        except IllegalMove:  # a pass was faster: the next evaluation finds it as it is now
            log.info("plan %s moved meanwhile", plan.pk)
    return tuple(plan.pk for plan in plans)


def _decide(rule: CurtailmentRule, now: datetime) -> tuple[Memory, Decision, list[CurtailmentPlan]]:
    policy = SitePolicy.of(rule.site)
    plans = [plan for plan in open_plans(rule) if plan.recovery_time > now]
    memory = facts.memory_of(rule)
    if memory.active and not plans:  # its end came, or a person ended it
        memory = ended(memory, now, rests=True)
    wish = facts.wish_of(rule, plans, now)
    after, decision = step(memory, wish, facts.limits_of(rule, policy.max_minutes), now)
    if decision.act == Act.START and policy.frozen_until and now < policy.frozen_until:
        return memory, Decision(Act.HOLD, f"{decision.why}; the site is frozen"), plans
    return after, decision, plans


def _stop_machines(
    rule: CurtailmentRule, decision: Decision, plans: Sequence[CurtailmentPlan], now: datetime, memory: Memory
) -> tuple[int, ...]:
    """A plan for what is wanted and not held yet, approved by the arming; longer times for plans that end too soon."""
    policy = SitePolicy.of(rule.site)
    latest = (memory.active_since or now) + timedelta(minutes=min(rule.max_minutes, policy.max_minutes))
    if decision.until is not None:
        latest = min(latest, decision.until)
    # Nobody knows when a price falls: machines are held for a while at a time, and come back by themselves if nobody asks.
    until = latest if decision.until else min(latest, now + max(LEASE, timedelta(minutes=rule.min_on_minutes)))
    made = []
    wanted = _wanted(rule, decision, plans, now)
    if wanted != ZERO_MW and until - now >= SHORTEST:
        with transaction.atomic():
            plan = _planned(rule, wanted, until, decision.why, now)
            approve_by_rule(plan, rule_id=rule.pk)
        made.append(plan.pk)
    if not plans and not made:
        raise WrongPlan("fewer than 5 minutes are left")
    for plan in plans:
        due = plan.recovery_time - now < RENEW_BEFORE or decision.until is not None
        if due and until - plan.recovery_time > A_MINUTE and rule.armed_by is not None:
            with transaction.atomic():
                extend_plan(plan, until=until, reason=f"{rule.name}: {decision.why}"[:500], by=rule.armed_by)
    return tuple(made)


ZERO_MW = Decimal(0)


def _wanted(
    rule: CurtailmentRule, decision: Decision, plans: Sequence[CurtailmentPlan], now: datetime
) -> Decimal | None:
    """MW to stop beside what is held already: zero for nothing more, None for every machine."""
    if plans and decision.mw is None:
        return ZERO_MW
    if decision.mw is None:
        drawn = facts.drawn_kw(rule.site, now) or ZERO_MW
        watts = facts.target_of(rule, drawn * 1000)
        return None if watts is None else (watts / 1_000_000).quantize(Decimal("0.000001"))
    if any(plan.status != PlanStatus.EXECUTED for plan in plans):
        return ZERO_MW  # what is under way shows in the readings first
    if rule.kind == RuleKind.POWER_CAP:
        held = facts.held_back_kw(plans) / 1000
    else:
        held = sum((plan.target_power_reduction or plan.planned_reduction for plan in plans), ZERO_MW)
    more = decision.mw - held
    return more.quantize(Decimal("0.000001")) if more > decision.mw * LEAST_MORE else ZERO_MW


def _planned(
    rule: CurtailmentRule, wanted: Decimal | None, until: datetime, why: str, now: datetime
) -> CurtailmentPlan:
    everybody = None
    if wanted is None:
        everybody = frozenset(Miner.objects.in_service().filter(site=rule.site).values_list("pk", flat=True))
    ask = Ask(
        site=rule.site,
        starts_at=now,
        ends_at=until,
        target_mw=wanted,
        strategy=Strategy(rule.strategy),
        miners=everybody,
        priority=Priority(rule.priority),
        reason=f"{rule.name}: {why}"[:500],
        plan_type=PlanType.SCHEDULED if rule.kind == RuleKind.SCHEDULE else PlanType.AUTOMATIC,
    )
    with transaction.atomic():
        plan = create_plan(draft_plan(ask, now=now), by=None)
        CurtailmentPlan.objects.filter(pk=plan.pk).update(rule=rule)
        plan.rule = rule
    return plan


def _remember(
    rule: CurtailmentRule, memory: Memory, decision: Decision, now: datetime, plans: tuple[int, ...]
) -> Evaluated:
    CurtailmentRule.objects.filter(pk=rule.pk).update(
        **facts.memory_columns(memory), last_evaluated_at=now, last_result=f"{decision.act}: {decision.why}"[:1000]
    )
    if decision.act in {Act.START, Act.STOP}:
        publish(
            "curtailment.rule_acted",
            about=f"rule:{rule.pk}",
            rule_id=rule.pk,
            site_id=rule.site_id,
            kind=rule.kind,
            act=str(decision.act),
            why=decision.why,
            plan_ids=list(plans),
            at=now.isoformat(),
        )
    return Evaluated(rule.pk, rule.name, decision.act, decision.why, plans)


def _order(rule: CurtailmentRule) -> tuple[int, int, int]:
    kinds, priorities = list(KINDS_FIRST), list(PRIORITIES_FIRST)
    return kinds.index(RuleKind(rule.kind)), priorities.index(Priority(rule.priority)), rule.pk


def _first_line(refused: Exception) -> str:
    return (str(refused).splitlines() or [type(refused).__name__])[0]
