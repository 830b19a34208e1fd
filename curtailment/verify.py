"""What must hold of plans, machines and commands at every moment, asked of the database; `breaches` names what does not."""

from dataclasses import dataclass
from typing import Any

from curtailment.passes.rows import query

MOST = 50  # breaches named per rule


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing that must not be: the rule, and what is wrong with which plan and machine."""

    rule: str
    detail: str
    plan_id: int | None = None
    miner_id: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"rule": self.rule, "detail": self.detail, "plan_id": self.plan_id, "miner_id": self.miner_id}


# The commands that passes gave, with the plan that each names in its batch's key: curtailment:PLAN:ORDER:FENCE:TIME.
GIVEN = """
given AS (
    SELECT command.*, batch.order AS given_order, batch.id AS batch_number,
           split_part(batch.idempotency_key, ':', 2)::int AS plan_id
    FROM miner_commands command JOIN miner_command_batches batch ON batch.id = command.batch_id
    WHERE batch.requested_by IS NULL AND batch.idempotency_key LIKE 'curtailment:%'
)
"""
# Of each rule: what is wrong, and a query for plan, machine and a word more.
RULES: dict[str, tuple[str, str]] = {
    "I1": (
        "a machine is held off, and no plan is bound to bring it back",
        """
        SELECT NULL::int, miner.id, miner.serial_number FROM hosting_miners miner
        WHERE miner.status = 'curtailed' AND NOT EXISTS (
            SELECT FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
            WHERE t.miner_id = miner.id AND t.live AND t.prior_on AND t.state NOT IN ('done', 'released')
              AND p.recovery_state IN ('scheduled', 'recovering', 'incomplete'))
        """,
    ),
    "I1b": (
        "a plan is recovered, and a machine of it is not back",
        """
        SELECT t.plan_id, t.miner_id, t.state FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
        WHERE p.recovery_state = 'recovered' AND t.state NOT IN ('done', 'released')
        """,
    ),
    "I2": (
        "a plan commanded a machine that is not in it",
        f"""
        WITH {GIVEN} SELECT given.plan_id, given.miner_id, given.given_order FROM given
        WHERE NOT EXISTS (SELECT FROM curtailment_plan_miners t
                          WHERE t.plan_id = given.plan_id AND t.miner_id = given.miner_id)
        """,  # noqa: S608
    ),
    "I3": (
        "a machine that was not on before the plan was commanded by it",
        f"""
        WITH {GIVEN} SELECT given.plan_id, given.miner_id, given.given_order FROM given
        JOIN curtailment_plan_miners t ON t.plan_id = given.plan_id AND t.miner_id = given.miner_id
        WHERE given.sent_at IS NOT NULL AND t.prior_on IS NOT TRUE
        """,  # noqa: S608
    ),
    "I4": (
        "a machine was ordered to sleep after its plan had turned back",
        f"""
        WITH {GIVEN} SELECT p.id, given.miner_id, given.created_at::text
        FROM given JOIN curtailment_plans p ON p.id = given.plan_id
        WHERE given.given_order = 'sleep'
          AND (given.created_at > p.recovering_at OR given.sent_at > p.recovering_at
               OR (p.recovery_state <> 'scheduled' AND given.sent_at > p.recovery_time))
        """,  # noqa: S608
    ),
    "I5": (
        "a machine was woken while another plan that had begun wanted it off",
        f"""
        WITH {GIVEN} SELECT given.plan_id, given.miner_id, 'wanted by plan ' || other.plan_id FROM given
        JOIN curtailment_plan_miners other ON other.miner_id = given.miner_id AND other.plan_id <> given.plan_id
        JOIN curtailment_plans plan ON plan.id = other.plan_id
        WHERE given.given_order = 'wake' AND other.dispatched_at < given.created_at AND other.release_requested_at IS NULL
          AND given.created_at < coalesce(other.ended_at, plan.recovering_at, plan.recovery_time)
          AND given.created_at < coalesce(plan.recovering_at, plan.recovery_time)
        """,  # noqa: S608
    ),
    "I6": (
        "a plan runs without an approval of what it is, or with one by its creator",
        """
        SELECT p.id, NULL::int, p.status FROM curtailment_plans p
        WHERE p.status IN ('approved', 'executing', 'executed') AND NOT EXISTS (
            SELECT FROM curtailment_approvals a WHERE a.plan_id = p.id AND a.voided_at IS NULL
              AND a.version = p.version AND a.content_hash = p.content_hash)
        UNION ALL
        SELECT p.id, NULL, a.kind FROM curtailment_plans p JOIN curtailment_approvals a ON a.plan_id = p.id
        WHERE a.kind IN ('approval', 'extension') AND a.approver_id IN (p.created_by, p.edited_by) AND a.voided_at IS NULL
          AND NOT (a.kind = 'extension' AND EXISTS (
              SELECT FROM curtailment_site_policies policy WHERE policy.site_id = p.site_id AND NOT policy.four_eyes))
        """,
    ),
    "I7": (
        "two plans stop one machine at the same time",
        """
        SELECT t.plan_id, t.miner_id, 'also in plan ' || other.plan_id FROM curtailment_plan_miners t
        JOIN curtailment_plan_miners other ON other.miner_id = t.miner_id AND other.id > t.id
        WHERE t.live AND other.live AND t.role = 'selected' AND other.role = 'selected' AND t."window" && other."window"
        """,
    ),
    "I8": (
        "a packet left without a line in the log before it",
        f"""
        WITH {GIVEN} SELECT given.plan_id, given.miner_id, given.given_order FROM given
        WHERE given.attempts > (SELECT count(*) FROM miner_operation_log line
            WHERE line.miner_id = given.miner_id AND line.operation = given.given_order
              AND line.timestamp <= coalesce(given.accepted_at, clock_timestamp())
              AND (line.details LIKE 'batch ' || given.batch_number || ':%'
                   OR line.details LIKE 'batch ' || given.batch_number || ',%'))
        """,  # noqa: S608
    ),
    "I9": (
        "a plan gave an order that is neither sleep nor wake",
        f"""
        WITH {GIVEN} SELECT given.plan_id, given.miner_id, given.given_order FROM given
        WHERE given.given_order NOT IN ('sleep', 'wake')
        """,  # noqa: S608
    ),
    "I10": (
        "a plan holds a machine off, and the machine's status does not say so",
        """
        SELECT t.plan_id, t.miner_id, miner.status FROM curtailment_plan_miners t
        JOIN curtailment_plans p ON p.id = t.plan_id JOIN hosting_miners miner ON miner.id = t.miner_id
        WHERE t.state IN ('dispatching', 'dispatched', 'confirmed', 'drifted') AND p.recovery_state = 'scheduled'
          AND miner.status <> 'curtailed'
        """,
    ),
    "live": (
        "a row's claim does not fit its state",
        """
        SELECT plan_id, miner_id, state FROM curtailment_plan_miners
        WHERE live AND state IN ('done', 'released') OR ended_at IS NOT NULL AND state NOT IN ('done', 'released')
              OR ended_at IS NULL AND prior_on IS NOT NULL AND state IN ('done', 'released')
        """,
    ),
}


def breaches() -> list[Breach]:
    """Everything that must not be; empty when all is well. Safe to ask at any moment, beside running passes."""
    found = []
    for rule, (wrong, statement) in RULES.items():
        rows = query(f"SELECT * FROM ({statement}) AS wrong LIMIT {MOST}".replace("%", "%%"))  # noqa: S608
        found += [Breach(rule, f"{wrong}: {detail}", plan_id, miner_id) for plan_id, miner_id, detail in rows]
    return found
