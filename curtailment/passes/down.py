"""Stopping machines: waves by shutdown order, as fast as the site allows, and others in place of those that do not stop."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from curtailment.models import CurtailmentPlan, PlanMiner, SitePolicy
from curtailment.passes import faults, orders
from curtailment.passes.report import PassReport
from curtailment.passes.rows import CURTAILED, FROZEN, HOLDING, change, end_rows, query
from curtailment.states import TargetRole
from events.locks import Lease
from hosting.control import Order
from hosting.models import Miner
from hosting.services import curtail_miners
from minefarm.lib.clock import database_now

WAVE_EVERY = timedelta(seconds=5)
# A machine that says yes and goes on is noticed after this; it is tried again as long as the plan lasts.
NOTICED_AFTER = timedelta(seconds=45)
TRIES = 2  # orders, before another machine is stopped in its place
DRIFTS = 2  # times that it came back by itself, before the same
MOST_AGAIN = 1000  # machines that get their order again in one wave
NOT_NEAR_THE_END = timedelta(seconds=5)

PLANS = f"""
SELECT p.id FROM curtailment_plans p WHERE {HOLDING} AND NOT {FROZEN}
ORDER BY array_position(ARRAY['emergency', 'high', 'normal'], p.priority), p.scheduled_time, p.id
"""  # noqa: S608
# Ordered off for the first time, at the site, by any plan: machines since one time, watts since another.
UNDER_WAY = """
SELECT count(*) FILTER (WHERE t.dispatched_at > %(wave)s), coalesce(sum(t.baseline_w), 0)
FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
WHERE p.site_id = %(site)s AND t.dispatched_at > %(minute)s
"""
DUE = f"""
SELECT t.id, t.miner_id, t.baseline_w, t.dispatched_at IS NULL
FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
WHERE t.plan_id = %(plan)s AND t.live AND t.prior_on AND t.role = 'selected' AND t.release_requested_at IS NULL
  AND t.state IN ('pending', 'drifted', 'unreachable') AND t.next_attempt_at <= clock_timestamp()
  AND {HOLDING} AND p.recovery_time > clock_timestamp() + %(end)s AND NOT {FROZEN}
ORDER BY t.shutdown_order LIMIT %(limit)s FOR UPDATE OF t SKIP LOCKED
"""  # noqa: S608
CLAIM = """
UPDATE curtailment_plan_miners SET state = 'dispatching', attempts = attempts + 1, fence = %(fence)s, last_error = '',
       dispatched_at = coalesce(dispatched_at, clock_timestamp())
WHERE id = ANY(%(ids)s)
"""
# What is off or will be, as far as is known, once its power has fallen: without what did not stop or came back.
COVERED = """
SELECT coalesce(sum(t.baseline_w - CASE WHEN t.measured_at > t.confirmed_at THEN coalesce(t.observed_w, 0) ELSE 0 END), 0)
FROM curtailment_plan_miners t
WHERE t.plan_id = %(plan)s AND t.role = 'selected' AND t.live AND t.release_requested_at IS NULL
  AND (t.state IN ('confirmed', 'pending')
       OR t.state IN ('dispatching', 'dispatched', 'drifted') AND t.attempts <= %(tries)s AND t.drifts <= %(drifts)s)
"""
GIVEN_UP = """
SELECT EXISTS (SELECT FROM curtailment_plan_miners t WHERE t.plan_id = %(plan)s AND t.role = 'selected'
               AND (t.state IN ('unreachable', 'released') OR t.attempts > %(tries)s OR t.drifts > %(drifts)s))
"""
RESERVES = """
SELECT t.id, t.baseline_w FROM curtailment_plan_miners t
WHERE t.plan_id = %(plan)s AND t.role = 'reserve' AND t.state = 'pending' AND t.prior_on AND t.live
  AND t.next_attempt_at <= clock_timestamp() AND t.release_requested_at IS NULL
ORDER BY t.shutdown_order
"""


@dataclass(frozen=True, slots=True)
class Room:
    """How much more may be stopped at a site now."""

    machines: int
    watts: Decimal | None

    @classmethod
    def at(cls, policy: SitePolicy, now: datetime) -> "Room":
        times = {"site": policy.site_id, "wave": now - WAVE_EVERY, "minute": now - timedelta(minutes=1)}
        ((machines, watts),) = query(UNDER_WAY, times)
        limit = policy.down_mw_per_min
        return cls(max(0, policy.sleep_wave - machines), None if limit is None else limit * 1_000_000 - watts)


def stop_waves(lease: Lease, report: PassReport) -> None:
    """One wave of each running plan, the urgent ones first."""
    for (plan_id,) in query(PLANS):
        with report.apart(f"stopping machines of plan {plan_id}"):
            plan = CurtailmentPlan.objects.select_related("site").get(pk=plan_id)
            policy = SitePolicy.of(plan.site)
            with lease.transaction():
                report.replaced += _replace(plan)
            with lease.transaction():
                report.ordered_off += _stop(plan, policy, lease.lock.lock_version, report)
            faults.point("after pre-write")


def _stop(plan: CurtailmentPlan, policy: SitePolicy, fence: int, report: PassReport) -> int:
    now = database_now()
    left = plan.recovery_time - now
    room = Room.at(policy, now)
    limit = room.machines + MOST_AGAIN
    due = query(DUE, {"plan": plan.pk, "limit": limit, "end": NOT_NEAR_THE_END})
    rows = _that_fit(due, room)
    if not rows or left <= NOT_NEAR_THE_END:
        return 0
    miners = dict(rows)
    curtail_miners(Miner.objects.filter(pk__in=miners), reason=f"plan {plan.pk}", by=None)
    held = set(Miner.objects.filter(pk__in=miners, status=CURTAILED).values_list("pk", flat=True))
    lost = [row for miner, row in miners.items() if miner not in held]
    if lost:  # somebody took it since the plan began; what was sent before is undone like anything else
        report.released += _leave(lost, fence)
    if not held:
        return 0
    ids = [row for miner, row in miners.items() if miner in held]
    change(CLAIM, {"ids": ids, "fence": fence})
    orders.give(plan, sorted(held), Order.SLEEP, expires_after=min(NOTICED_AFTER, left), fence=fence)
    return len(held)


def _that_fit(due: list[tuple[int, int, Decimal, bool]], room: Room) -> list[tuple[int, int]]:
    """Machine and row of those that may be stopped now; repeats need no room, for theirs was counted."""
    machines, watts, rows = room.machines, room.watts, []
    full = False
    for row, miner, baseline_w, first in due:
        if first:
            # The first of an idle minute goes even when it alone draws more than a minute may: else it never would.
            full = full or machines <= 0 or (watts is not None and baseline_w > watts and watts < baseline_w)
            if full:
                continue
            machines -= 1
            watts = None if watts is None else watts - baseline_w
        rows.append((miner, row))
    return rows


def _leave(ids: list[int], fence: int) -> int:
    untouched = list(PlanMiner.objects.filter(pk__in=ids, dispatched_at=None).values_list("pk", flat=True))
    change(
        "UPDATE curtailment_plan_miners SET next_attempt_at = clock_timestamp() + interval '60 s', fence = %(fence)s,"
        " last_error = 'in maintenance, or taken out of service: nothing is sent' WHERE id = ANY(%(ids)s)",
        {"ids": ids, "fence": fence},
    )
    return end_rows(untouched, "released", "taken out of service before it was stopped: left alone", fence)


def _replace(plan: CurtailmentPlan) -> int:
    """Reserves take the place of machines that do not stop, until the target is covered again; how many."""
    values = {"plan": plan.pk, "tries": TRIES, "drifts": DRIFTS}
    if plan.target_power_reduction is None or query(GIVEN_UP, values) == [(False,)]:
        return 0
    missing = plan.target_power_reduction * 1_000_000 - query(COVERED, values)[0][0]
    replaced = 0
    for row, baseline_w in query(RESERVES, values) if missing > 0 else []:
        if missing <= 0:
            break
        try:
            with transaction.atomic():
                PlanMiner.objects.filter(pk=row, role=TargetRole.RESERVE).update(role=TargetRole.SELECTED)
        except IntegrityError:  # another plan stops this machine in that time
            PlanMiner.objects.filter(pk=row).update(
                last_error="another plan has it", next_attempt_at=database_now() + timedelta(minutes=1)
            )
            continue
        missing -= baseline_w
        replaced += 1
    return replaced
