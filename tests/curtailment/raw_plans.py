"""Plans as rows, for tests of what may be done to them; planning itself has tests of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from curtailment.content import content_hash
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner


def a_plan(site, miners, *, by=None, starts_in_min=30, minutes=60, baseline_w="3250.00", **fields) -> CurtailmentPlan:
    """A pending plan that stops these machines, in their order."""
    begins = timezone.now() + timedelta(minutes=starts_in_min)
    fields = {"reason": "The grid asks", "content_hash": "to be written"} | fields
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
    CurtailmentPlan.objects.filter(pk=plan.pk).update(content_hash=content_hash(plan))
    plan.refresh_from_db()
    return plan


def edited_raw(plan, by) -> CurtailmentPlan:
    """As an edit by this person leaves it."""
    rows = CurtailmentPlan.objects.filter(pk=plan.pk)
    rows.update(edited_by=by, version=plan.version + 1)
    plan.refresh_from_db()
    rows.update(content_hash=content_hash(plan))
    plan.refresh_from_db()
    return plan


def approve_raw(plan, approver, *, kind="approval", reason="by rows") -> CurtailmentPlan:
    """Approved and claimed as the services leave it."""
    PlanApproval.objects.create(
        plan=plan, kind=kind, version=plan.version, content_hash=plan.content_hash, approver=approver, reason=reason
    )
    CurtailmentPlan.objects.filter(pk=plan.pk).update(status="approved")
    PlanMiner.objects.filter(plan=plan).update(live=True)
    plan.refresh_from_db()
    return plan


# Each state of a plan, and the legal moves that lead to it.
PATHS: dict[tuple[str, str], list[dict[str, str]]] = {
    ("pending", "none"): [],
    ("approved", "none"): [{"status": "approved"}],
    ("cancelled", "none"): [{"status": "cancelled"}],
}
PATHS["executing", "scheduled"] = [*PATHS["approved", "none"], {"status": "executing", "recovery_state": "scheduled"}]
PATHS["executing", "recovering"] = [*PATHS["executing", "scheduled"], {"recovery_state": "recovering"}]
PATHS["executing", "incomplete"] = [*PATHS["executing", "recovering"], {"recovery_state": "incomplete"}]
PATHS["executed", "scheduled"] = [*PATHS["executing", "scheduled"], {"status": "executed"}]
PATHS["executed", "recovering"] = [*PATHS["executed", "scheduled"], {"recovery_state": "recovering"}]
PATHS["executed", "incomplete"] = [*PATHS["executed", "recovering"], {"recovery_state": "incomplete"}]
PATHS["executed", "recovered"] = [*PATHS["executed", "recovering"], {"recovery_state": "recovered"}]
PATHS["cancelled", "scheduled"] = [*PATHS["executing", "scheduled"], {"status": "cancelled"}]
PATHS["cancelled", "recovering"] = [*PATHS["cancelled", "scheduled"], {"recovery_state": "recovering"}]
PATHS["cancelled", "recovered"] = [*PATHS["cancelled", "recovering"], {"recovery_state": "recovered"}]


def lead_to(plan, approver, status: str, recovery: str) -> CurtailmentPlan:
    """Take a pending plan to this state by legal moves."""
    for move in PATHS[status, recovery]:
        if move == {"status": "approved"}:
            approve_raw(plan, approver)
        else:
            CurtailmentPlan.objects.filter(pk=plan.pk).update(**move)
    plan.refresh_from_db()
    return plan


GUARDED = ("curtailment_plans", "curtailment_plan_miners", "curtailment_approvals")


@contextmanager
def unguarded() -> Iterator[None]:
    """Rows may be written in any state meanwhile, for tests of what is made of them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in GUARDED:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in GUARDED:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
