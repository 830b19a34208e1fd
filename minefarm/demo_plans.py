"""Two plans of the demo: one that is over and settled, one that begins a few minutes after the start."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from accounts.models import User
from accounts.roles import Role
from curtailment.content import content_hash
from curtailment.lifecycle import approve_plan
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner
from curtailment.settlement import settle_plan
from curtailment.states import Strategy
from hosting.models import Miner, Site
from hosting.telemetry.partitions import create_partition
from minefarm.lib.clock import database_now

MACHINES = 12
STARTS_IN, LASTS = timedelta(minutes=6), timedelta(minutes=10)
PAST_AGO, PAST_LASTS = timedelta(hours=3), timedelta(hours=1)
ASLEEP_W = 45  # control board and fans
# Readings of a time in which the demo did not run yet, like those that a sweep would have stored.
READ = """
INSERT INTO miner_telemetry (recorded_at, miner_id, power_consumption, hashrate, temperature, power_estimated)
SELECT minute, m.id, CASE WHEN off THEN %(asleep)s ELSE round(m.watts * (0.99 + 0.0004 * ((minute_no * 7 + m.id) %% 50)), 2) END,
    CASE WHEN off THEN 0 ELSE m.ths END, CASE WHEN off THEN 31 ELSE 66 END, false
FROM unnest(%(ids)s::int[], %(watts)s::numeric[], %(ths)s::numeric[]) AS m (id, watts, ths),
    LATERAL (SELECT minute, row_number() OVER () AS minute_no, minute > %(off)s AND minute < %(on)s AS off
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '1 minute') AS minute) AS minutes
ON CONFLICT DO NOTHING
"""


@transaction.atomic
def seed_plans(site: Site) -> None:
    """Only once; the machines are the site's own, half of them with each customer."""
    if CurtailmentPlan.objects.filter(site=site).exists():
        return
    miners = list(site.miners.select_related("miner_model").order_by("pk")[:MACHINES])
    people = {role: User.objects.filter(role=role).order_by("email").first() for role in (Role.OWNER, Role.USER)}
    owner, operator = people[Role.OWNER], people[Role.USER]
    if not miners or owner is None or operator is None:
        return
    now = database_now()
    begins = (now - PAST_AGO).replace(second=0, microsecond=0)
    past = _plan(site, miners, begins, begins + PAST_LASTS, "Demo: the price peaked", by=operator)
    _read(miners, begins - timedelta(minutes=15), begins, begins + PAST_LASTS)
    _run(past, by=owner)
    settle_plan(past)
    coming = _plan(site, miners, now + STARTS_IN, now + STARTS_IN + LASTS, "Demo: the grid asks", by=operator)
    approve_plan(coming, version=coming.version, content_hash=coming.content_hash, reason="a demo", by=owner)


def _plan(
    site: Site, miners: Sequence[Miner], begins: datetime, ends: datetime, reason: str, *, by: User
) -> CurtailmentPlan:
    watts = sum((_watts(miner) for miner in miners), Decimal())
    plan = CurtailmentPlan.objects.create(
        site=site,
        strategy=Strategy.LISTED,
        reason=reason,
        scheduled_time=begins,
        recovery_time=ends,
        miners_affected=len(miners),
        planned_reduction=watts / 1_000_000,
        content_hash="-",
        created_by=by,
    )
    targets = [
        PlanMiner(
            plan=plan,
            miner=miner,
            client_id=miner.client_id,
            shutdown_order=place,
            window=(begins, ends),
            baseline_w=_watts(miner),
            hashrate_ths=miner.miner_model.hashrate if miner.miner_model else None,
        )
        for place, miner in enumerate(miners, start=1)
    ]
    PlanMiner.objects.bulk_create(targets)
    plan.refresh_from_db()
    plan.content_hash = content_hash(plan)
    plan.save(update_fields=["content_hash"])
    return plan


def _watts(miner: Miner) -> Decimal:
    known = miner.miner_model.power_consumption if miner.miner_model else None
    return Decimal(known or 3250)


def _read(miners: Sequence[Miner], start: datetime, off: datetime, on: datetime) -> None:
    end = on + timedelta(minutes=15)
    for day in {start.date(), end.date()}:
        create_partition(day)
    with connection.cursor() as cursor:
        cursor.execute(
            READ,
            {
                "ids": [miner.pk for miner in miners],
                "watts": [_watts(miner) for miner in miners],
                "ths": [miner.miner_model.hashrate if miner.miner_model else None for miner in miners],
                "asleep": ASLEEP_W,
                "start": start,
                "end": end,
                "off": off,
                "on": on,
            },
        )


def _run(plan: CurtailmentPlan, *, by: User) -> None:
    """Lead the plan through its states as the passes would have."""
    PlanApproval.objects.create(
        plan=plan,
        kind=PlanApproval.Kind.APPROVAL,
        version=plan.version,
        content_hash=plan.content_hash,
        approver=by,
        reason="a demo",
    )
    plans = CurtailmentPlan.objects.filter(pk=plan.pk)
    rows = PlanMiner.objects.filter(plan=plan)
    plans.update(status="approved")
    rows.update(live=True)
    plans.update(status="executing", recovery_state="scheduled")
    off = plan.scheduled_time + timedelta(seconds=40)
    rows.update(state="dispatching", prior_on=True)
    rows.update(state="dispatched", dispatched_at=plan.scheduled_time, attempts=1)
    rows.update(state="confirmed", confirmed_at=off, observed_w=ASLEEP_W)
    plans.update(status="executed", executed_at=off, power_reduced=plan.planned_reduction, shortfall=0)
    plans.update(recovery_state="recovering", recovering_at=plan.recovery_time)
    rows.update(state="restoring", restoring_at=plan.recovery_time)
    rows.update(state="done", live=False, ended_at=plan.recovery_time + timedelta(seconds=90))
    plans.update(recovery_state="recovered", recovered_at=plan.recovery_time + timedelta(seconds=90))
    plan.refresh_from_db()
