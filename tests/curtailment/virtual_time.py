"""Time that passes at once: every moment that the database keeps of plans and orders moves into the past, and machines age."""

import time
from datetime import timedelta

from django.db import connection, transaction

from curtailment.content import content_hash
from curtailment.models import CurtailmentPlan

MOMENTS = {
    "curtailment_plans": "scheduled_time recovery_time executed_at recovering_at recovered_at restore_requested_at"
    " cancelled_at created_at updated_at",
    "curtailment_plan_miners": "next_attempt_at dispatched_at confirmed_at release_requested_at restoring_at ended_at"
    " measured_at",
    "curtailment_approvals": "created_at voided_at",
    "curtailment_site_policies": "frozen_until",
    "curtailment_plan_events": "at",
    "miner_command_batches": "created_at expires_at finished_at",
    "miner_commands": "due_at claimed_until created_at sent_at accepted_at finished_at",
    "miner_operation_log": "timestamp",
}


class VirtualClock:
    """A clock for simulated machines that `pass_time` sets forward, together with the database's rows."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s

    def pass_time(self, seconds: float) -> None:
        """As if so many seconds went by, and nobody did anything meanwhile."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no triggers: time is no change
            cursor.execute(
                "CREATE TEMP TABLE claimed ON COMMIT DROP AS SELECT id FROM curtailment_plan_miners WHERE live"
            )
            cursor.execute("UPDATE curtailment_plan_miners SET live = false WHERE live")
            for table, columns in MOMENTS.items():
                moved = ", ".join(f'"{one}" = "{one}" - %(by)s' for one in columns.split())
                cursor.execute(f"UPDATE {table} SET {moved}", {"by": timedelta(seconds=seconds)})
            cursor.execute(
                'UPDATE curtailment_plan_miners SET "window" = tstzrange(lower("window") - %(by)s, upper("window") - %(by)s)',
                {"by": timedelta(seconds=seconds)},
            )
            for plan in CurtailmentPlan.objects.all():
                new = content_hash(plan)
                cursor.execute(
                    "UPDATE curtailment_approvals SET content_hash = %s WHERE plan_id = %s AND content_hash = %s",
                    [new, plan.pk, plan.content_hash],
                )
                cursor.execute("UPDATE curtailment_plans SET content_hash = %s WHERE id = %s", [new, plan.pk])
            cursor.execute("UPDATE curtailment_plan_miners SET live = true WHERE id IN (SELECT id FROM claimed)")
        self.ahead_s += seconds
