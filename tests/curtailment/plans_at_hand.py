"""Plans that are approved already, written as rows: for tests of what carries them out."""

from datetime import timedelta
from decimal import Decimal

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from curtailment.states import PlanStatus, PlanType, TargetRole
from hosting.models import Miner, MinerLatest
from minefarm.lib.clock import database_now


def hash_now(miners, share: str = "1") -> None:
    """Telemetry says that the machines hash, a moment ago."""
    now = database_now()
    MinerLatest.objects.bulk_create(
        [
            MinerLatest(
                miner=miner,
                attempted_at=now,
                seen_at=now,
                hashrate_ths=miner.miner_model.hashrate * Decimal(share),
                power_w=miner.miner_model.power_consumption * Decimal(share),
            )
            for miner in Miner.objects.filter(pk__in=[one.pk for one in miners]).select_related("miner_model")
        ],
        update_conflicts=True,
        unique_fields=["miner"],
        update_fields=["attempted_at", "seen_at", "hashrate_ths", "power_w"],
    )


def hasty(site, **changes) -> SitePolicy:
    """A site that wakes its machines all at once."""
    fields = {"wake_wave": 5000, "wake_every_s": 1, "sleep_wave": 5000} | changes
    return SitePolicy.objects.update_or_create(site=site, defaults=fields)[0]


def approved_plan(site, miners, *, seconds=60.0, begins_in=0.0, reserves=(), held=(), target_mw=None, **fields):
    """A plan of these machines in their order, approved by a rule; from now on for so many seconds."""
    begin = database_now() + timedelta(seconds=begins_in)
    end = begin + timedelta(seconds=seconds)
    plan = CurtailmentPlan.objects.create(
        **{
            "site": site,
            "scheduled_time": begin,
            "recovery_time": end,
            "reason": "test of the feed",
            "content_hash": "x",
        }
        | {"target_power_reduction": target_mw, "plan_type": PlanType.AUTOMATIC}
        | fields
    )
    roles = [*((one, TargetRole.SELECTED) for one in miners), *((one, TargetRole.RESERVE) for one in reserves)]
    roles += [(one, TargetRole.HELD) for one in held]
    models = {
        one.pk: one for one in Miner.objects.filter(pk__in=[one.pk for one, _ in roles]).select_related("miner_model")
    }
    PlanMiner.objects.bulk_create(
        PlanMiner(
            plan=plan,
            miner=one,
            client_id=one.client_id,
            shutdown_order=number,
            role=role,
            window=DateTimeTZRange(begin, end),
            baseline_w=models[one.pk].miner_model.power_consumption,
            hashrate_ths=models[one.pk].miner_model.hashrate,
        )
        for number, (one, role) in enumerate(roles, 1)
    )
    watts = sum(models[one.pk].miner_model.power_consumption for one in miners)
    CurtailmentPlan.objects.filter(pk=plan.pk).update(
        miners_affected=len(miners), planned_reduction=Decimal(watts) / 1_000_000
    )
    PlanApproval.objects.create(plan=plan, kind=PlanApproval.Kind.RULE, version=1, content_hash="x")
    CurtailmentPlan.objects.filter(pk=plan.pk).update(status=PlanStatus.APPROVED)
    PlanMiner.objects.filter(plan=plan).update(live=True)
    plan.refresh_from_db()
    return plan


def states(plan) -> dict[str, int]:
    """Number of the plan's machines in each state."""
    found: dict[str, int] = {}
    for state in PlanMiner.objects.filter(plan=plan).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found
