"""What a client's request may read of plans: the columns of one's own rows, without the farm's figures and others' totals.

The wall (migration 0006) grants these columns and no others, so a client's page asks with `.values(*CLIENT_PLAN)`,
and of machines with an order_by of its own: the place in the order of shutting down tells how many others there are.
"""

CLIENT_PLAN = (
    "id",
    "site_id",
    "plan_type",
    "priority",
    "status",
    "recovery_state",
    "reason",
    "scheduled_time",
    "recovery_time",
    "executed_at",
    "recovering_at",
    "recovered_at",
    "cancelled_at",
    "created_at",
    "updated_at",
)
HIDDEN_OF_PLANS = (
    "strategy",
    "target_power_reduction",
    "restore_requested_at",
    "restore_reason",
    "cancel_reason",
    "miners_affected",
    "planned_reduction",
    "power_reduced",
    "power_estimated",
    "shortfall",
    "preview",
    "version",
    "content_hash",
    "idempotency_key",
    "rule_id",
    "created_by",
    "edited_by",
)
CLIENT_MINER = (
    "id",
    "plan_id",
    "miner_id",
    "client_id",
    "role",
    "state",
    "live",
    "window",
    "prior_on",
    "baseline_w",
    "hashrate_ths",
    "dispatched_at",
    "confirmed_at",
    "observed_w",
    "restoring_at",
    "ended_at",
)
HIDDEN_OF_MINERS = (
    "shutdown_order",
    "command_id",
    "attempts",
    "next_attempt_at",
    "fence",
    "drifts",
    "measured_at",
    "release_requested_at",
    "last_error",
)
# What all customers of a plan came to together, and how it went, is the farm's.
HIDDEN_OF_SETTLEMENTS = (
    *("requested_w", "delivered_w", "seconds_to_50", "seconds_to_95", "seconds_to_100", "machines", "confirmed"),
    *("drifted", "failed", "kwh_avoided", "unpriced_kwh", "saved", "forgone_usd", "coverage", "content_hash"),
)
