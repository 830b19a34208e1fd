"""What the API sends of plans, as plain dicts: clients get columns of curtailment/visible.py and nothing else."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from curtailment.models import PlanMiner
from hosting.models import Miner

Flat = dict[str, Any]

PLAN_OPEN = (
    *("id", "site_id", "plan_type", "priority", "status", "recovery_state", "reason", "scheduled_time"),
    *("recovery_time", "executed_at", "recovering_at", "recovered_at", "cancelled_at", "created_at"),
)
# From column to key, and whether it is megawatts.
PLAN_STAFF = {
    "strategy": "strategy",
    "target_power_reduction": "target_mw",
    "miners_affected": "machines",
    "planned_reduction": "planned_mw",
    "power_reduced": "measured_mw",
    "shortfall": "shortfall_mw",
    "version": "version",
    "content_hash": "content_hash",
    "restore_requested_at": "restore_requested_at",
    "restore_reason": "restore_reason",
    "cancel_reason": "cancel_reason",
    "created_by__email": "created_by",
    "edited_by__email": "edited_by",
}
TARGET_OPEN = (
    *("id", "miner_id", "role", "state", "baseline_w", "observed_w", "hashrate_ths"),
    *("dispatched_at", "confirmed_at", "restoring_at", "ended_at"),
)
TARGET_STAFF = ("shutdown_order", "prior_on", "drifts", "attempts", "release_requested_at", "last_error")
NUMBERS = ("baseline_w", "observed_w", "hashrate_ths")


def plan_columns(*, staff: bool) -> tuple[str, ...]:
    return (*PLAN_OPEN, *PLAN_STAFF) if staff else PLAN_OPEN


def plan_row(flat: Flat, *, staff: bool) -> Flat:
    row = {key: flat[key] for key in PLAN_OPEN}
    if staff:
        row |= {
            key: _number(flat[column]) if key.endswith("_mw") else flat[column] for column, key in PLAN_STAFF.items()
        }
    return row


def target_values(targets: QuerySet[PlanMiner], *, staff: bool) -> QuerySet[PlanMiner, Flat]:
    """By their own order of rows: the order of stopping is the staff's. A machine that was sold since has no name here."""
    serial = Subquery(Miner.objects.filter(pk=OuterRef("miner")).order_by().values("serial_number")[:1])
    columns = (*TARGET_OPEN, *TARGET_STAFF) if staff else TARGET_OPEN
    flat: QuerySet[PlanMiner, Flat] = targets.order_by("pk").values(*columns, serial_number=serial)
    return flat


def target_row(flat: Flat) -> Flat:
    return flat | {key: _number(flat[key]) for key in NUMBERS}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
