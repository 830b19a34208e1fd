"""Plans that are over, with the readings of their time: for tests of what they come to."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from analytics.models import MarketSnapshot
from curtailment.models import CurtailmentPlan, PlanMiner
from hosting.models import ElectricityPrice
from hosting.telemetry.partitions import create_partition
from minefarm.lib.clock import database_now
from tests.curtailment.raw_plans import approve_raw

BASELINE_W = Decimal("3250.00")
HOURS_AGO = 3
READ = """
INSERT INTO miner_telemetry (recorded_at, miner_id, power_consumption, hashrate, power_estimated)
SELECT minute, m, CASE WHEN minute >= %(off)s AND minute < %(on)s THEN %(asleep_w)s::numeric ELSE %(awake_w)s::numeric END,
    CASE WHEN minute >= %(off)s AND minute < %(on)s THEN 0 ELSE 110 END, false
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '1 minute') minute, unnest(%(miners)s::int[]) m
ON CONFLICT DO NOTHING
"""


def begun() -> datetime:
    """A whole hour, three hours ago."""
    return (database_now() - timedelta(hours=HOURS_AGO)).replace(minute=0, second=0, microsecond=0)


def read_minutes(miners, start: datetime, minutes: int, *, off: datetime, on: datetime, asleep_w="30", awake_w="3250"):
    """A reading a minute: asleep from `off` until before `on`, else as before."""
    end = start + timedelta(minutes=minutes - 1)
    for days in range((end.date() - start.date()).days + 1):
        create_partition(start.date() + timedelta(days=days))
    with connection.cursor() as cursor:
        cursor.execute(
            READ,
            {
                "start": start,
                "end": end,
                "miners": [getattr(miner, "pk", miner) for miner in miners],
                "off": off,
                "on": on,
                "asleep_w": asleep_w,
                "awake_w": awake_w,
            },
        )


def price(site, since: datetime, amount: str, *, until: datetime | None = None, currency: str = "USD") -> None:
    ElectricityPrice.objects.create(
        site=site, price_per_kwh=Decimal(amount), currency=currency, valid_from=since, valid_until=until
    )


def hashprice(since: datetime, amount: str) -> None:
    MarketSnapshot.objects.create(
        bucket=since, created_at=since, btc_price=100_000, hashprice_usd_per_ph_day=Decimal(amount)
    )


def over_plan(site, miners, approver, *, begins: datetime | None = None, minutes=60, target_mw=None, **target):
    """A plan whose machines were ordered off at once, confirmed after 30 s, and measured on again at the end."""
    begins = begins or begun()
    ends = begins + timedelta(minutes=minutes)
    plan = CurtailmentPlan.objects.create(
        site=site,
        reason="The grid asks",
        content_hash="a1" * 32,
        scheduled_time=begins,
        recovery_time=ends,
        miners_affected=len(miners),
        planned_reduction=BASELINE_W * len(miners) / 1_000_000,
        target_power_reduction=target_mw,
    )
    PlanMiner.objects.bulk_create(
        [
            PlanMiner(
                plan=plan,
                miner=miner,
                client_id=miner.client_id,
                shutdown_order=order,
                window=(begins, ends),
                baseline_w=BASELINE_W,
                hashrate_ths="110.00",
            )
            for order, miner in enumerate(miners, 1)
        ],
        batch_size=2000,
    )
    approve_raw(plan, approver)
    rows = PlanMiner.objects.filter(plan=plan)
    for fields in (
        {"state": "dispatching", "prior_on": True},
        {"state": "dispatched", "dispatched_at": begins},
        {"state": "confirmed", "confirmed_at": begins + timedelta(seconds=30), "observed_w": 30},
        {"state": "restoring", "restoring_at": ends},
        {"state": "done", "ended_at": ends} | target,
    ):
        rows.update(**fields)
    for move in (
        {"status": "executing", "recovery_state": "scheduled"},
        {"status": "executed", "executed_at": begins + timedelta(seconds=30)},
        {"recovery_state": "recovering", "recovering_at": ends},
        {"recovery_state": "recovered", "recovered_at": ends},
    ):
        CurtailmentPlan.objects.filter(pk=plan.pk).update(**move)
    plan.refresh_from_db()
    return plan
