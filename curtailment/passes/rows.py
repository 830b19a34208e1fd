"""SQL that the steps of a pass share. `t` is a machine's row, `p` its plan."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

from hosting.states import MinerStatus

# Another plan that runs now wants the machine off: it is that one's to wake. A reserve wants nothing.
WANTED_BY = """
SELECT other.plan_id FROM curtailment_plan_miners other JOIN curtailment_plans plan ON plan.id = other.plan_id
WHERE other.miner_id = t.miner_id AND other.plan_id <> t.plan_id AND other.live AND other.prior_on
  AND other.role IN ('selected', 'held') AND other.state NOT IN ('restoring', 'done', 'released')
  AND other.release_requested_at IS NULL
  AND plan.status IN ('executing', 'executed') AND plan.recovery_state = 'scheduled'
  AND plan.restore_requested_at IS NULL
  AND plan.scheduled_time <= clock_timestamp() AND plan.recovery_time > clock_timestamp()
ORDER BY plan.recovery_time DESC, other.plan_id LIMIT 1
"""
FROZEN = """
EXISTS (SELECT FROM curtailment_site_policies policy
        WHERE policy.site_id = p.site_id AND policy.frozen_until > clock_timestamp())
"""
# The plan still wants its machines off.
HOLDING = """
p.status IN ('executing', 'executed') AND p.recovery_state = 'scheduled' AND p.restore_requested_at IS NULL
AND p.recovery_time > clock_timestamp()
"""
ENDED = "('done', 'released')"
END = "live = false, ended_at = clock_timestamp()"
CURTAILED = MinerStatus.CURTAILED.value


def query(statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """The rows that a statement returns."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or {})
        return cursor.fetchall() if cursor.description else []


def change(statement: str, values: Mapping[str, Any] | None = None) -> int:
    """How many rows a statement changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or {})
        return int(cursor.rowcount)


def end_rows(ids: list[int], state: str, reason: str, fence: int) -> int:
    """Done or released, with the reason; a row that has ended stays as it is."""
    return change(
        f"UPDATE curtailment_plan_miners SET state = %(state)s, {END}, fence = %(fence)s, last_error = %(reason)s"  # noqa: S608
        f" WHERE id = ANY(%(ids)s) AND state NOT IN {ENDED}",
        {"ids": ids, "state": state, "reason": reason, "fence": fence},
    )
