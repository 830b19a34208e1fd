"""What the database itself refuses of plans, written out from the tables of moves; migration 0007 puts it in force.

A test compares both, so that a new move comes with a migration of its own. Refusals are integrity errors: the API answers 409.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from curtailment.states import PLAN_MOVES, RECOVERY_MOVES, TARGET_MOVES

PLANS, TARGETS, APPROVALS = "curtailment_plans", "curtailment_plan_miners", "curtailment_approvals"

# What an approver agreed to; `recovery_time` may come earlier, and later by an extension alone.
CONTENT = (
    "site_id",
    "plan_type",
    "priority",
    "strategy",
    "target_power_reduction",
    "reason",
    "scheduled_time",
    "content_hash",
    "version",
    "edited_by",
    "planned_reduction",
    "preview",
)
# Of a plan that is over; what later migrations add is not in it.
SETTLED = (
    *CONTENT,
    "status",
    "recovery_state",
    "recovery_time",
    "executed_at",
    "recovering_at",
    "recovered_at",
    "restore_requested_at",
    "restore_reason",
    "cancelled_at",
    "cancel_reason",
    "miners_affected",
    "power_reduced",
    "shortfall",
)


def pairs(moves: Mapping[Any, Iterable[str]]) -> str:
    """An SQL array of `from>to`, such as '{pending>approved}'."""
    return "'{" + ",".join(sorted(f"{source}>{to}" for to, sources in moves.items() for source in sources)) + "}'"


def row(columns: Iterable[str], which: str) -> str:
    return "(" + ", ".join(f"{which}.{column}" for column in columns) + ")"


def plan_guard() -> str:
    """Function and triggers of `curtailment_plans`."""
    return f"""
CREATE OR REPLACE FUNCTION curtailment_plan_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status = 'pending' THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'plan % is %: it is kept, not deleted', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF (NEW.status, NEW.recovery_state) = ('pending', 'none') THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'a plan begins pending, not %/%', NEW.status, NEW.recovery_state
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.id, NEW.created_at) <> (OLD.id, OLD.created_at) OR NEW.created_by IS DISTINCT FROM OLD.created_by
       OR NEW.edited_by IS DISTINCT FROM OLD.edited_by AND NEW.version <= OLD.version THEN
        RAISE EXCEPTION 'who made plan % or this version of it stays', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.status, OLD.recovery_state) IN (('executed', 'recovered'), ('cancelled', 'none'), ('cancelled', 'recovered'))
       AND {row(SETTLED, "NEW")} IS DISTINCT FROM
           {row(SETTLED, "OLD")} THEN
        RAISE EXCEPTION 'plan % is over: nothing of it changes', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND OLD.status || '>' || NEW.status <> ALL ({pairs(PLAN_MOVES)}) THEN
        RAISE EXCEPTION 'plan % cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.recovery_state <> OLD.recovery_state
       AND OLD.recovery_state || '>' || NEW.recovery_state <> ALL ({pairs(RECOVERY_MOVES)}) THEN
        RAISE EXCEPTION 'recovery of plan % cannot go from % to %', OLD.id, OLD.recovery_state, NEW.recovery_state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status IN ('pending', 'approved') AND NEW.recovery_state <> 'none'
       OR NEW.status IN ('executing', 'executed') AND NEW.recovery_state = 'none' THEN
        RAISE EXCEPTION 'plan % cannot be % with recovery %', OLD.id, NEW.status, NEW.recovery_state
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.restore_requested_at IS NOT NULL AND NEW.restore_requested_at IS NULL THEN
        RAISE EXCEPTION 'plan % was asked to restore: that is not taken back', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'approved' AND OLD.status <> 'approved' AND NOT EXISTS (
        SELECT FROM {APPROVALS} a WHERE a.plan_id = OLD.id AND a.voided_at IS NULL AND a.kind <> 'extension'
        AND (a.version, a.content_hash) = (NEW.version, NEW.content_hash)
    ) THEN
        RAISE EXCEPTION 'plan % has no approval of version %', OLD.id, NEW.version USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'pending' THEN
        IF OLD.status = 'approved' THEN
            IF NEW.version <= OLD.version THEN
                RAISE EXCEPTION 'an edited plan is a new version: plan % stays at %', OLD.id, OLD.version
                    USING ERRCODE = 'check_violation';
            END IF;
            UPDATE {APPROVALS} SET voided_at = clock_timestamp() WHERE plan_id = OLD.id AND voided_at IS NULL;
            UPDATE {TARGETS} SET live = false WHERE plan_id = OLD.id AND live;
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.recovery_time > OLD.recovery_time THEN
        IF (NEW.version = OLD.version + 1 AND EXISTS (
            SELECT FROM {APPROVALS} a WHERE a.plan_id = OLD.id AND a.voided_at IS NULL AND a.kind = 'extension'
            AND (a.version, a.content_hash) = (NEW.version, NEW.content_hash)
        )) IS NOT TRUE OR {row([c for c in CONTENT if c not in {"version", "content_hash"}], "NEW")} IS DISTINCT FROM
            {row([c for c in CONTENT if c not in {"version", "content_hash"}], "OLD")} THEN
            RAISE EXCEPTION 'plan % is longer by an approved extension alone', OLD.id USING ERRCODE = 'check_violation';
        END IF;
    ELSIF {row(CONTENT, "NEW")} IS DISTINCT FROM
          {row(CONTENT, "OLD")} THEN
        RAISE EXCEPTION 'plan % is %: edit it back to pending to change what it does', OLD.id, OLD.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS {PLANS}_guard ON {PLANS};
CREATE TRIGGER {PLANS}_guard BEFORE INSERT OR UPDATE OR DELETE ON {PLANS}
    FOR EACH ROW EXECUTE FUNCTION curtailment_plan_guard();
"""  # noqa: S608  names of our own tables and states


def target_guard() -> str:
    """Triggers of `curtailment_plan_miners`. Conditions hold the rules, so that 6,000 legal rows call no function."""
    return f"""
CREATE OR REPLACE FUNCTION curtailment_target_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'miner % in plan % cannot go from % to %', OLD.miner_id, OLD.plan_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation';
END $$;
CREATE OR REPLACE FUNCTION curtailment_target_prior() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'whether miner % ran before plan % was written once, and stays', OLD.miner_id, OLD.plan_id
        USING ERRCODE = 'check_violation';
END $$;
CREATE OR REPLACE FUNCTION curtailment_target_member() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found text := (SELECT status FROM {PLANS} WHERE id = OLD.plan_id);
BEGIN
    IF NEW.live AND NOT OLD.live THEN
        IF found = 'approved' THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'plan % is %: its machines are claimed when it is approved', OLD.plan_id, found
            USING ERRCODE = 'check_violation';
    END IF;
    IF found = 'pending' AND NEW.plan_id = OLD.plan_id THEN RETURN NEW; END IF;
    RAISE EXCEPTION 'plan % is %: its machines and their order stay', OLD.plan_id, found
        USING ERRCODE = 'check_violation';
END $$;
CREATE OR REPLACE FUNCTION curtailment_target_members() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong integer := (
        SELECT min(p.id) FROM {PLANS} p
        WHERE p.status <> 'pending' AND p.id IN (SELECT plan_id FROM changed)
    );
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'plan % was approved: its machines stay; edit it back to pending first', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT min(plan_id) INTO wrong FROM changed WHERE live OR state <> 'pending';
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION 'a machine of plan % begins pending and unclaimed', wrong USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER {TARGETS}_moves BEFORE UPDATE OF state ON {TARGETS} FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND OLD.state || '>' || NEW.state <> ALL ({pairs(TARGET_MOVES)}::text[]))
    EXECUTE FUNCTION curtailment_target_refuse();
CREATE OR REPLACE TRIGGER {TARGETS}_prior BEFORE UPDATE OF prior_on ON {TARGETS} FOR EACH ROW
    WHEN (OLD.prior_on IS NOT NULL AND NEW.prior_on IS DISTINCT FROM OLD.prior_on)
    EXECUTE FUNCTION curtailment_target_prior();
CREATE OR REPLACE TRIGGER {TARGETS}_member BEFORE UPDATE ON {TARGETS} FOR EACH ROW
    WHEN (NEW.live AND NOT OLD.live OR NEW.plan_id <> OLD.plan_id OR NEW.miner_id <> OLD.miner_id
          OR NEW.shutdown_order <> OLD.shutdown_order OR NEW.client_id IS DISTINCT FROM OLD.client_id)
    EXECUTE FUNCTION curtailment_target_member();
CREATE OR REPLACE TRIGGER {TARGETS}_added AFTER INSERT ON {TARGETS} REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION curtailment_target_members();
CREATE OR REPLACE TRIGGER {TARGETS}_removed AFTER DELETE ON {TARGETS} REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION curtailment_target_members();
"""  # noqa: S608  names of our own tables and states


def approval_guard() -> str:
    """Function and triggers of `curtailment_approvals`: who may let what run, and that it stays written."""
    return f"""
CREATE OR REPLACE FUNCTION curtailment_approval_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    plan {PLANS}%ROWTYPE;
    alone boolean;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND (NEW.id, NEW.plan_id, NEW.kind, NEW.version, NEW.content_hash, NEW.approver_id, NEW.reason, NEW.created_at)
           IS NOT DISTINCT FROM
           (OLD.id, OLD.plan_id, OLD.kind, OLD.version, OLD.content_hash, OLD.approver_id, OLD.reason, OLD.created_at) THEN
        RETURN NEW;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'approvals are kept as written: % refused', TG_OP USING ERRCODE = 'check_violation';
    END IF;
    SELECT * INTO plan FROM {PLANS} WHERE id = NEW.plan_id FOR NO KEY UPDATE;
    alone := EXISTS (SELECT FROM curtailment_site_policies WHERE site_id = plan.site_id AND NOT four_eyes);
    IF NEW.kind <> 'extension' AND (plan.status <> 'pending' OR plan.version <> NEW.version
                                    OR plan.content_hash <> NEW.content_hash) THEN
        RAISE EXCEPTION 'plan % is % at version %: this approves version %', plan.id, plan.status, plan.version,
            NEW.version USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.approver_id IS NULL AND NEW.kind <> 'rule' THEN
        RAISE EXCEPTION 'an approval of plan % names who gave it', plan.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.approver_id IN (plan.created_by, plan.edited_by) AND NEW.kind IN ('approval', 'extension') AND NOT
       (NEW.kind = 'extension' AND alone) THEN
        RAISE EXCEPTION 'plan % is approved by somebody else than who made or edited it', plan.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind = 'alone' AND NOT alone THEN
        RAISE EXCEPTION 'the site of plan % asks for a second person', plan.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind = 'break_glass' AND (plan.priority <> 'emergency' OR NEW.reason = ''
       OR plan.recovery_time - plan.scheduled_time > interval '1 hour') THEN
        RAISE EXCEPTION 'break-glass takes an emergency of at most an hour, and a reason' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind = 'rule' AND plan.plan_type = 'manual' THEN
        RAISE EXCEPTION 'plan % was made by hand: no rule approves it', plan.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS {APPROVALS}_guard ON {APPROVALS};
CREATE TRIGGER {APPROVALS}_guard BEFORE INSERT OR UPDATE OR DELETE ON {APPROVALS}
    FOR EACH ROW EXECUTE FUNCTION curtailment_approval_guard();
CREATE OR REPLACE TRIGGER {APPROVALS}_no_truncate BEFORE TRUNCATE ON {APPROVALS}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
"""  # noqa: S608  names of our own tables and states


def removal() -> str:
    """Takes all of it off again."""
    triggers = {PLANS: ["guard"], APPROVALS: ["guard", "no_truncate"]}
    triggers[TARGETS] = ["moves", "prior", "member", "added", "removed"]
    functions = ("plan_guard", "target_refuse", "target_prior", "target_member", "target_members", "approval_guard")
    return "\n".join(
        [f"DROP TRIGGER {table}_{name} ON {table};" for table, names in triggers.items() for name in names]
        + [f"DROP FUNCTION curtailment_{name}();" for name in functions]
    )
