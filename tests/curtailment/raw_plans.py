"""Plans as rows, for tests of what may be done to them; planning itself has tests of its own."""

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from curtailment.models import CurtailmentPlan, PlanMiner

HASH = "a1" * 32


def a_plan(site, miners, *, by=None, starts_in_min=30, minutes=60, baseline_w="3250.00", **fields) -> CurtailmentPlan:
    """A pending plan that stops these machines, in their order."""
    begins = timezone.now() + timedelta(minutes=starts_in_min)
    fields = {"reason": "The grid asks", "content_hash": HASH} | fields
    plan = CurtailmentPlan.objects.create(
        site=site,
        created_by=by,
        scheduled_time=begins,
        recovery_time=begins + timedelta(minutes=minutes),
        miners_affected=len(miners),
        planned_reduction=Decimal(baseline_w) * len(miners) / 1_000_000,
        **fields,
    )
    PlanMiner.objects.bulk_create(
        PlanMiner(
            plan=plan,
            miner=miner,
            client_id=miner.client_id,
            shutdown_order=order,
            window=(plan.scheduled_time, plan.recovery_time),
            baseline_w=baseline_w,
            hashrate_ths="110.00",
        )
        for order, miner in enumerate(miners, 1)
    )
    return plan
