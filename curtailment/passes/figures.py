"""What plans have reached: measured power, shortfall, and the moves of whole plans that follow from their machines'."""

from datetime import timedelta

from django.db.models import Q

from curtailment.models import CurtailmentPlan, SitePolicy
from curtailment.passes.back import back_by
from curtailment.passes.report import PassReport
from curtailment.passes.rows import change, query
from curtailment.states import UNRECOVERED, PlanStatus, RecoveryState
from curtailment.trail import note
from events.locks import Lease
from events.outbox import publish
from minefarm.lib.clock import database_now

LATE_AFTER = timedelta(minutes=10)  # past the ramp
SOON = timedelta(seconds=10)

# What has no meter counts apart, by its baseline: it was measured to hash nothing, and nobody measured its power.
MEASURE = """
WITH off AS (
    SELECT t.plan_id, sum(t.baseline_w - t.observed_w) AS measured_w,
           coalesce(sum(t.baseline_w) FILTER (WHERE t.observed_w IS NULL), 0) AS estimated_w
    FROM curtailment_plan_miners t
    WHERE t.role = 'selected' AND t.state = 'confirmed' GROUP BY t.plan_id
), reached AS (
    SELECT p.id, round(off.measured_w / 1000000, 6) AS measured, round(coalesce(off.estimated_w, 0) / 1000000, 6) AS estimated,
           coalesce(p.target_power_reduction, p.planned_reduction) AS target
    FROM curtailment_plans p LEFT JOIN off ON off.plan_id = p.id
    WHERE p.status IN ('executing', 'executed') AND p.recovery_state = 'scheduled'
)
UPDATE curtailment_plans p
SET power_reduced = coalesce(reached.measured, CASE WHEN p.power_reduced IS NOT NULL THEN 0 END),
    power_estimated = reached.estimated,
    shortfall = greatest(reached.target - coalesce(reached.measured, 0) - reached.estimated, 0)
FROM reached WHERE reached.id = p.id
  AND (p.power_reduced, p.power_estimated, p.shortfall) IS DISTINCT FROM
      (coalesce(reached.measured, CASE WHEN p.power_reduced IS NOT NULL THEN 0 END), reached.estimated,
       greatest(reached.target - coalesce(reached.measured, 0) - reached.estimated, 0))
"""
EXECUTED = """
UPDATE curtailment_plans p SET status = 'executed', executed_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE p.status = 'executing' AND p.recovery_state = 'scheduled' AND p.restore_requested_at IS NULL
  AND p.recovery_time > clock_timestamp()
  AND NOT EXISTS (SELECT FROM curtailment_plan_miners t WHERE t.plan_id = p.id AND t.role = 'selected'
                  AND t.release_requested_at IS NULL
                  AND (t.state IN ('pending', 'drifted')
                       OR t.measured_at <= t.confirmed_at AND t.confirmed_at > clock_timestamp() - interval '30 s'
                       OR t.state IN ('dispatching', 'dispatched') AND t.attempts <= 2))
RETURNING p.id
"""
RECOVERED = """
UPDATE curtailment_plans p SET recovery_state = 'recovered', recovered_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE p.recovery_state IN ('recovering', 'incomplete')
  AND NOT EXISTS (SELECT FROM curtailment_plan_miners t WHERE t.plan_id = p.id AND t.state NOT IN ('done', 'released'))
RETURNING p.id
"""
LATE = """
UPDATE curtailment_plans p SET recovery_state = 'incomplete', updated_at = clock_timestamp()
WHERE p.id = %(plan)s AND p.recovery_state = 'recovering'
"""
COUNTS = """
SELECT count(*) FILTER (WHERE dispatched_at IS NOT NULL), count(*) FILTER (WHERE state = 'confirmed'),
       count(*) FILTER (WHERE state = 'unreachable' OR state IN ('dispatching', 'dispatched') AND attempts > 2),
       count(*) FILTER (WHERE state NOT IN ('done', 'released')), count(*) FILTER (WHERE state = 'done')
FROM curtailment_plan_miners WHERE plan_id = %(plan)s
"""


def bring_up_to_date(lease: Lease, report: PassReport) -> None:
    with lease.transaction():
        change(MEASURE)
        for (plan_id,) in query(EXECUTED):
            report.executed += 1
            _tell_executed(plan_id)
        for (plan_id,) in query(RECOVERED):
            report.recovered += 1
            _tell_recovered(plan_id)
        report.late += _late_ones()


def anything_open() -> bool:
    """Whether a plan has machines to stop or to bring back now, or within seconds."""
    now = database_now()
    soon = Q(status=PlanStatus.APPROVED, scheduled_time__lte=now + SOON)
    return CurtailmentPlan.objects.filter(soon | Q(recovery_state__in=UNRECOVERED)).exists()


def _late_ones() -> int:
    late = 0
    for plan in CurtailmentPlan.objects.filter(recovery_state=RecoveryState.RECOVERING).select_related("site"):
        stopped, _, _, still_open, _ = query(COUNTS, {"plan": plan.pk})[0]
        if database_now() < back_by(plan, SitePolicy.of(plan.site), stopped) + LATE_AFTER:
            continue
        if change(LATE, {"plan": plan.pk}):
            late += 1
            note("recovery late", plan=plan)
            publish(
                "curtailment.recovery_late",
                about=f"plan:{plan.pk}",
                plan_id=plan.pk,
                site_id=plan.site_id,
                open=still_open,
            )
    return late


def _tell_executed(plan_id: int) -> None:
    plan = CurtailmentPlan.objects.get(pk=plan_id)
    _, off, unreachable, _, _ = query(COUNTS, {"plan": plan_id})[0]
    note("executed", plan=plan)
    publish(
        "curtailment.plan_executed",
        about=f"plan:{plan_id}",
        plan_id=plan_id,
        site_id=plan.site_id,
        off=off,
        unreachable=unreachable,
        power_reduced_mw=None if plan.power_reduced is None else float(plan.power_reduced),
        power_estimated_mw=float(plan.power_estimated or 0),
        shortfall_mw=float(plan.shortfall or 0),
    )


def _tell_recovered(plan_id: int) -> None:
    plan = CurtailmentPlan.objects.get(pk=plan_id)
    note("recovered", plan=plan)
    publish(
        "curtailment.plan_recovered",
        about=f"plan:{plan_id}",
        plan_id=plan_id,
        site_id=plan.site_id,
        done=query(COUNTS, {"plan": plan_id})[0][4],
    )
