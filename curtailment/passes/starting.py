"""Plans begin: what ran before is written down first, and what did not is never touched."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from curtailment.models import CurtailmentPlan
from curtailment.passes import faults
from curtailment.passes.report import PassReport
from curtailment.passes.rows import CURTAILED, END, ENDED, FROZEN, change, query
from curtailment.trail import note
from events.locks import Lease
from events.outbox import publish
from hosting.commands.machines import machines_of
from hosting.commands.readings import look_at
from hosting.control import Evidence
from hosting.control.proof import ASLEEP_BELOW, NO_HASHRATE_THS
from hosting.states import MinerStatus

START_WITHIN = timedelta(minutes=15)
# Telemetry of this age is believed; older, the machine is asked.
FRESH = timedelta(seconds=90)
# A machine that does not answer now ran before when it hashed so lately.
LATELY = timedelta(minutes=30)

DUE = f"""
SELECT p.id, p.version FROM curtailment_plans p
WHERE p.status = 'approved' AND p.recovery_state = 'none' AND p.restore_requested_at IS NULL
  AND p.scheduled_time <= clock_timestamp() AND p.scheduled_time > clock_timestamp() - %(within)s
  AND p.recovery_time > clock_timestamp() AND NOT {FROZEN}
ORDER BY p.scheduled_time, p.id
"""  # noqa: S608
MISS = """
UPDATE curtailment_plans SET status = 'cancelled', cancelled_at = clock_timestamp(), updated_at = clock_timestamp(),
       cancel_reason = CASE WHEN restore_requested_at IS NULL THEN 'missed window' ELSE 'restored before it began' END
WHERE status = 'approved' AND recovery_state = 'none' AND (restore_requested_at IS NOT NULL
      OR scheduled_time <= clock_timestamp() - %(within)s OR recovery_time <= clock_timestamp())
RETURNING id
"""
# Whoever cancels a plan that had not begun may leave its machines to this.
LET_GO = f"""
UPDATE curtailment_plan_miners t SET state = 'released', {END}, fence = %(fence)s, last_error = 'the plan was cancelled'
FROM curtailment_plans p
WHERE p.id = t.plan_id AND p.status = 'cancelled' AND p.recovery_state = 'none' AND t.state NOT IN {ENDED}
"""  # noqa: S608
BEGIN = f"""
UPDATE curtailment_plans p SET status = 'executing', recovery_state = 'scheduled', updated_at = clock_timestamp()
WHERE p.id = %(plan)s AND p.version = %(version)s
  AND p.status = 'approved' AND p.recovery_state = 'none' AND p.restore_requested_at IS NULL
  AND p.scheduled_time <= clock_timestamp() AND p.scheduled_time > clock_timestamp() - %(within)s
  AND p.recovery_time > clock_timestamp() AND NOT {FROZEN}
"""  # noqa: S608
TARGETS = """
SELECT t.id, t.miner_id, t.role, t.baseline_w, miner.status, miner.retired_at IS NULL AND miner.site_id = p.site_id,
       latest.seen_at, latest.hashrate_ths,
       EXISTS (SELECT FROM curtailment_plan_miners other WHERE other.miner_id = t.miner_id AND other.plan_id <> t.plan_id
               AND other.live AND other.prior_on AND other.state NOT IN ('done', 'released')),
       clock_timestamp()
FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id JOIN hosting_miners miner ON miner.id = t.miner_id
LEFT JOIN miner_latest latest ON latest.miner_id = t.miner_id
WHERE t.plan_id = %(plan)s AND t.state = 'pending'
"""
NOTE = f"""
UPDATE curtailment_plan_miners t SET prior_on = known.on, fence = %(fence)s, live = known.on AND t.live,
       state = CASE WHEN known.why = '' THEN t.state ELSE 'released' END, last_error = known.why,
       ended_at = CASE WHEN known.why = '' THEN NULL ELSE clock_timestamp() END
FROM unnest(%(ids)s::int[], %(on)s::boolean[], %(whys)s::text[]) AS known (id, "on", why)
WHERE t.id = known.id AND t.state NOT IN {ENDED}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Target:
    """A machine of a plan that is about to begin, and what is known of it."""

    id: int
    miner_id: int
    role: str
    baseline_w: Decimal
    status: str
    here: bool
    seen_at: datetime | None
    hashrate_ths: Decimal | None
    held_off: bool  # by another plan, which found it running
    now: datetime

    def seen_within(self, age: timedelta) -> bool:
        return self.seen_at is not None and self.seen_at > self.now - age

    @property
    def to_be_asked(self) -> bool:
        return self.status in {MinerStatus.ACTIVE, MinerStatus.OFFLINE} and not self.seen_within(FRESH)


def start_due(lease: Lease, report: PassReport) -> None:
    """Approved plans whose time has come begin; those that missed it are cancelled, and never run late."""
    within = {"within": START_WITHIN}
    with lease.transaction():
        for (plan_id,) in query(MISS, within):
            note("missed", plan=CurtailmentPlan.objects.get(pk=plan_id))
            report.missed += 1
        report.released += change(LET_GO, {"fence": lease.lock.lock_version})
    for plan_id, version in query(DUE, within):
        with report.apart(f"beginning plan {plan_id}"):
            targets = [Target(*row) for row in query(TARGETS, {"plan": plan_id})]
            seen = _ask([target.miner_id for target in targets if target.to_be_asked])
            with lease.transaction():
                _begin(plan_id, version, targets, seen, fence=lease.lock.lock_version, report=report)
            faults.point("after start")


def _ask(miner_ids: list[int]) -> dict[int, Evidence]:
    machines = [known.machine for known in machines_of(miner_ids).values()] if miner_ids else []
    return asyncio.run(look_at(machines)) if machines else {}


def _begin(
    plan_id: int, version: int, targets: list[Target], seen: dict[int, Evidence], *, fence: int, report: PassReport
) -> None:
    # While machines were asked the plan may have been edited and approved anew: these are not its machines then.
    if not change(BEGIN, {"plan": plan_id, "version": version, "within": START_WITHIN}):
        return
    whys = [why_not(target, seen.get(target.miner_id)) for target in targets]
    report.released += sum(1 for why in whys if why)
    change(
        NOTE,
        {
            "ids": [target.id for target in targets],
            "on": [not why for why in whys],
            "whys": whys,
            "fence": fence,
        },
    )
    report.started += 1
    plan = CurtailmentPlan.objects.get(pk=plan_id)
    note("started", plan=plan)
    publish(
        "curtailment.plan_started",
        about=f"plan:{plan_id}",
        plan_id=plan_id,
        site_id=plan.site_id,
        machines=sum(1 for target, why in zip(targets, whys, strict=True) if target.role == "selected" and not why),
        until=plan.recovery_time.isoformat(),
        reason=plan.reason,
    )


def why_not(target: Target, seen: Evidence | None) -> str:
    """Why the plan must leave the machine alone: it did not run before. Empty for one that did."""
    if not target.here:
        return "it is not at the site any more: left alone"
    if target.status == MinerStatus.MAINTENANCE:
        return "in maintenance before the plan began: left alone"
    if target.status == CURTAILED:
        return "" if target.held_off else "held off before the plan began: left alone"
    if target.role == "held":
        return "on by then: there was nothing to hold"
    return "" if _ran(target, seen) else "not running before the plan began: left alone"


def _ran(target: Target, seen: Evidence | None) -> bool:
    if seen is not None and seen.answered:
        if seen.hashrate_ths is not None:
            return seen.hashrate_ths > NO_HASHRATE_THS
        return seen.measured_w is None or seen.measured_w > ASLEEP_BELOW * float(target.baseline_w)
    lately = target.seen_within(FRESH if seen is None else LATELY)
    return lately and target.hashrate_ths is not None and float(target.hashrate_ths) > NO_HASHRATE_THS
