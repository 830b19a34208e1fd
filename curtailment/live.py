"""What a plan does now, as its page shows it. Queries only: the caller has checked who may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from accounts.models import User
from curtailment.models import CurtailmentPlan, PlanMiner, Settlement, SitePolicy
from curtailment.states import UNRECOVERED, PlanStatus, Priority, RecoveryState, TargetRole, TargetState

BEFORE, AFTER = timedelta(minutes=15), timedelta(minutes=30)
POINTS = 60
BREAK_GLASS_LONGEST = timedelta(hours=1)

# What each group of the bar is called, its states, and its colour's name.
GROUPS = (
    ("off", "off", (TargetState.CONFIRMED,)),
    ("going", "being stopped", (TargetState.DISPATCHING, TargetState.DISPATCHED)),
    ("waiting", "waiting", (TargetState.PENDING,)),
    ("trouble", "came back or silent", (TargetState.DRIFTED, TargetState.UNREACHABLE)),
    ("back", "coming back", (TargetState.RESTORING,)),
    ("done", "on again", (TargetState.DONE, TargetState.RELEASED)),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the bar of states."""

    name: str
    title: str
    count: int
    start: float
    percent: float


@dataclass(frozen=True, slots=True)
class Acts:
    """What this person may do to the plan now; `no_approval` says why there is no button to approve."""

    approve: bool = False
    break_glass: bool = False
    cancel: bool = False
    restore: bool = False
    extend: bool = False
    release: bool = False
    hand_over: bool = False
    no_approval: str = ""

    @property
    def any(self) -> bool:
        return self.approve or self.break_glass or self.cancel or self.restore or self.extend or bool(self.no_approval)


def bar(plan: CurtailmentPlan) -> list[Part]:
    """Machines that are to stop, by what they do; reserves that were not called on are not among them."""
    counts = dict(in_play(plan).order_by().values_list("state").annotate(Count("pk")))
    whole = sum(counts.values()) or 1
    parts: list[Part] = []
    for name, title, group in GROUPS:
        count = sum(counts.get(state, 0) for state in group)
        if count:
            before = sum(part.percent for part in parts)
            parts.append(Part(name, title, count, round(before, 2), round(100 * count / whole, 2)))
    return parts


def in_play(plan: CurtailmentPlan) -> Any:
    return PlanMiner.objects.filter(plan=plan).exclude(role=TargetRole.RESERVE, dispatched_at__isnull=True)


def figures(plan: CurtailmentPlan) -> dict[str, Any]:
    """Big numbers, in kW; None is unknown."""
    target_mw = plan.planned_reduction if plan.target_power_reduction is None else plan.target_power_reduction
    now = timezone.now()
    counts = in_play(plan).aggregate(
        all=Count("pk"), off=Count("pk", filter=Q(state=TargetState.CONFIRMED)), tried=Count("dispatched_at")
    )
    begins, ends = plan.scheduled_time, plan.recovery_time
    left = begins - now if now < begins else ends - now if now < ends else None
    return {
        "target_kw": target_mw * 1000,
        "measured_kw": None if plan.power_reduced is None else plan.power_reduced * 1000,
        "estimated_kw": (getattr(plan, "power_estimated", None) or Decimal()) * 1000,
        "shortfall_kw": None if plan.shortfall is None else plan.shortfall * 1000,
        "off": counts["off"],
        "machines": counts["all"],
        "left": None if left is None else clock(left),
        "left_of": "until it begins" if now < begins else "until they come back",
    }


def clock(span: timedelta) -> str:
    """Hours and minutes, or minutes and seconds of less than an hour."""
    hours, rest = divmod(int(span.total_seconds()), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def acts(plan: CurtailmentPlan, user: User, policy: SitePolicy) -> Acts:
    """By permission and state; the services refuse again what has changed meanwhile."""
    waits = plan.status == PlanStatus.PENDING
    running = plan.recovery_state in UNRECOVERED
    made_it = user.pk in {plan.created_by_id, plan.edited_by_id}
    may = user.may("curtailment:approve")
    why_not = ""
    if waits and not may:
        why_not = "Your role may not approve plans: an administrator does."
    elif waits and made_it and policy.four_eyes:
        why_not = "You made this plan, so somebody else approves it."
    short = plan.recovery_time - plan.scheduled_time <= BREAK_GLASS_LONGEST
    holds = plan.status in {PlanStatus.APPROVED, PlanStatus.EXECUTING, PlanStatus.EXECUTED}
    turned = plan.recovery_state not in {RecoveryState.NONE, RecoveryState.SCHEDULED}
    return Acts(
        approve=waits and may and not why_not,
        break_glass=waits and may and bool(why_not) and plan.priority == Priority.EMERGENCY and short,
        cancel=user.may("curtailment:stop") and plan.status != PlanStatus.CANCELLED and (running or _unbegun(plan)),
        restore=user.may("curtailment:override")
        and plan.recovery_state == RecoveryState.SCHEDULED
        and plan.restore_requested_at is None,
        extend=may and holds and not turned and plan.restore_requested_at is None,
        hand_over=user.may("curtailment:override") and turned and running,
        release=user.may("curtailment:stop") and (running or plan.status == PlanStatus.APPROVED),
        no_approval=why_not,
    )


def _unbegun(plan: CurtailmentPlan) -> bool:
    return plan.recovery_state == RecoveryState.NONE and plan.status in {PlanStatus.PENDING, PlanStatus.APPROVED}


# --- the chart --------------------------------------------------------------------------------------------------------

# Some whole minutes alone, each found by the key: sixty of them cost the same for a plan of an hour and of a day.
MEASURED = """
SELECT extract(epoch FROM t.recorded_at)::bigint,
    round(sum(GREATEST(0, o.baseline_w - t.power_consumption)) / 1000, 3)::float8, count(*)
FROM miner_telemetry t JOIN unnest(%(miners)s::int[], %(baselines)s::numeric[]) AS o (miner_id, baseline_w)
    ON o.miner_id = t.miner_id
WHERE t.recorded_at = ANY(%(minutes)s) AND t.recorded_at >= %(start)s AND t.recorded_at <= %(end)s
    AND t.miner_id = ANY(%(miners)s) AND t.power_consumption IS NOT NULL AND NOT t.power_estimated
GROUP BY 1
"""


def chart(plan: CurtailmentPlan) -> dict[str, Any]:
    """Requested and measured reduction in kW over time; None is a gap. `read` are the machines that gave a reading.

    A settled plan is drawn from its settlement, whose readings may be gone.
    """
    settlement = Settlement.objects.filter(plan=plan).first()
    if settlement is not None:
        return _settled(settlement)
    now = timezone.now()
    start = (plan.scheduled_time - BEFORE).replace(second=0, microsecond=0)
    end = max(start, min(now, (plan.recovered_at or plan.recovery_time) + AFTER))
    step_s = max(60, -(-int((end - start).total_seconds()) // POINTS // 60) * 60)
    moments = [start + timedelta(seconds=at) for at in range(0, int((end - start).total_seconds()) + 1, step_s)]
    targets = list(in_play(plan).values_list("miner_id", "baseline_w"))
    found = _reduction(targets, moments) if targets else {}
    at = [int(moment.timestamp()) for moment in moments]
    requested = float(
        (plan.planned_reduction if plan.target_power_reduction is None else plan.target_power_reduction) * 1000
    )
    until = min(filter(None, (plan.recovery_time, plan.cancelled_at, plan.restore_requested_at)))
    return {
        "t": at,
        "requested_kw": [requested if plan.scheduled_time <= moment < until else 0.0 for moment in moments],
        "measured_kw": [found[t][0] if t in found else None for t in at],
        "read": [found[t][1] if t in found else 0 for t in at],
        "machines": len(targets),
        "step_s": step_s,
        "settled": False,
    }


def _reduction(targets: Sequence[tuple[int, Decimal]], moments: list[datetime]) -> dict[int, tuple[float, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            MEASURED,
            {
                "miners": [miner for miner, _ in targets],
                "baselines": [baseline for _, baseline in targets],
                "minutes": moments,
                "start": moments[0],
                "end": moments[-1],
            },
        )
        return {t: (kw, count) for t, kw, count in cursor.fetchall()}


def _settled(settlement: Settlement) -> dict[str, Any]:
    rows = list(settlement.intervals.all())
    return {
        "t": [int(row.starts_at.timestamp()) for row in rows],
        "requested_kw": [float(row.requested_kw) for row in rows],
        "measured_kw": [None if row.delivered_kw is None else float(row.delivered_kw) for row in rows],
        "read": [round(float(row.coverage) * settlement.machines) for row in rows],
        "machines": settlement.machines,
        "step_s": 300,
        "settled": True,
    }
