"""What customers' requests may read of plans: rows of their own machines, once the plan was approved, without totals."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect

# As they are with this migration; curtailment/visible.py has today's.
HIDDEN_OF_PLANS = [
    "strategy",
    "target_power_reduction",
    "restore_requested_at",
    "restore_reason",
    "cancel_reason",
    "miners_affected",
    "planned_reduction",
    "power_reduced",
    "shortfall",
    "preview",
    "version",
    "content_hash",
    "idempotency_key",
    "created_by",
]
HIDDEN_OF_MINERS = [
    "shutdown_order",
    "command_id",
    "attempts",
    "next_attempt_at",
    "fence",
    "drifts",
    "release_requested_at",
    "last_error",
]


class Migration(migrations.Migration):

    dependencies = [("curtailment", "0005_trail")]

    operations = [
        portal_role(),
        # A row that never was live belongs to a plan that nobody approved.
        protect(
            "curtailment_plan_miners",
            using="client_id = {me} AND (live OR prior_on IS NOT NULL OR ended_at IS NOT NULL)",
            hide=HIDDEN_OF_MINERS,
        ),
        protect(
            "curtailment_plans",
            using="status <> 'pending' AND id = ANY(ARRAY(SELECT plan_id FROM curtailment_plan_miners))",
            hide=HIDDEN_OF_PLANS,
        ),
    ]
