"""Orders of a pass: the machines' rows and the commands are written in one fenced transaction, before any packet."""

from datetime import timedelta

from curtailment.models import CurtailmentPlan
from curtailment.passes.rows import change
from hosting.commands import order_machines
from hosting.control import Order
from hosting.models import Miner
from minefarm.lib.clock import database_now

KEY = "curtailment"
LONGEST_REASON = 300
LINK = """
UPDATE curtailment_plan_miners t SET command_id = command.id FROM miner_commands command
WHERE command.batch_id = %(batch)s AND command.miner_id = t.miner_id AND t.plan_id = %(plan)s
"""


def give(plan: CurtailmentPlan, miner_ids: list[int], order: Order, *, expires_after: timedelta, fence: int) -> None:
    """Write the order to these machines of the plan, and link each row with its command. Inside the fenced transaction."""
    key = f"{KEY}:{plan.pk}:{order.value}:{fence}:{database_now().timestamp():.6f}"
    batch = order_machines(
        Miner.objects.filter(pk__in=miner_ids),
        order,
        reason=f"plan {plan.pk}, pass {fence}: {plan.reason[:LONGEST_REASON]}",
        idempotency_key=key,
        expires_after=expires_after,
        tell_workers=False,  # the pass carries it out itself: no broker may hold it up
        by=None,
    )
    change(LINK, {"batch": batch.pk, "plan": plan.pk})
