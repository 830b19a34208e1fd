"""What an approver is shown, as one hash: times, target, reason, and the machines in their order."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal

from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.states import TargetRole


def content_hash(plan: CurtailmentPlan, targets: Iterable[PlanMiner] | None = None) -> str:
    """SHA-256 of the plan as its columns say it; `targets` are read from the database unless they are given, in their order."""
    rows = plan.targets.order_by("shutdown_order") if targets is None else targets
    content = {
        "site": plan.site_id,
        "type": str(plan.plan_type),
        "priority": str(plan.priority),
        "strategy": str(plan.strategy),
        "target_mw": None if plan.target_power_reduction is None else _plain(plan.target_power_reduction),
        "from": plan.scheduled_time.astimezone(UTC).isoformat(),
        "until": plan.recovery_time.astimezone(UTC).isoformat(),
        "reason": plan.reason,
        "version": plan.version,
        "chosen": plan.miners_affected,  # the first so many; a reserve that is called up later changes nothing here
        "machines": [[row.miner_id, _plain(row.baseline_w), row.role == TargetRole.HELD] for row in rows],
    }
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
