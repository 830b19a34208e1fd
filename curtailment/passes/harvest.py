"""What became of orders, and what telemetry says of machines that should be off or on: rows move by what was measured."""

from curtailment.passes import faults
from curtailment.passes.back import REST, give_back
from curtailment.passes.down import TRIES
from curtailment.passes.measuring import drift
from curtailment.passes.report import PassReport
from curtailment.passes.rows import HOLDING, change, query
from events.locks import Lease
from hosting.commands.calling_off import CALLED_OFF
from hosting.control.proof import ASLEEP_BELOW, NO_HASHRATE_THS

DOWN = "t.command_id = command.id AND t.state IN ('dispatching', 'dispatched') AND p.id = t.plan_id"
TAKEN = f"""
UPDATE curtailment_plan_miners t SET state = 'dispatched', fence = %(fence)s
FROM miner_commands command, curtailment_plans p
WHERE {DOWN} AND t.state = 'dispatching' AND command.status IN ('sent', 'accepted')
"""  # noqa: S608
CONFIRM = f"""
UPDATE curtailment_plan_miners t
SET state = 'confirmed', confirmed_at = command.finished_at, measured_at = command.finished_at, attempts = 0,
    fence = %(fence)s, last_error = '',
    observed_w = CASE WHEN (command.after -> -1 ->> 'power_measured')::boolean
                      THEN round((command.after -> -1 ->> 'power_w')::numeric, 2) END
FROM miner_commands command, curtailment_plans p
WHERE {DOWN} AND command.status = 'confirmed'
"""  # noqa: S608
# Orders that were taken back do not count as tries. The way back takes the rest from where they are.
FAIL = f"""
UPDATE curtailment_plan_miners t
SET state = CASE WHEN command.detail LIKE %(off)s OR (command.status <> 'unsupported' AND t.attempts < %(tries)s)
                 THEN 'pending' ELSE 'unreachable' END,
    attempts = t.attempts - CASE WHEN command.detail LIKE %(off)s THEN 1 ELSE 0 END,
    next_attempt_at = clock_timestamp() + CASE WHEN command.status = 'unsupported' THEN interval '10 min'
        WHEN t.attempts < %(tries)s THEN interval '2 s' ELSE least(t.attempts * interval '15 s', interval '2 min') END,
    last_error = command.detail, fence = %(fence)s
FROM miner_commands command, curtailment_plans p
WHERE {DOWN} AND {HOLDING} AND t.release_requested_at IS NULL AND command.status IN ('failed', 'expired', 'unsupported')
RETURNING t.state
"""  # noqa: S608
# By the meter where there is one. A hashrate that equals the session's average may be no more than that, and stays high.
DRIFTED = f"""
SELECT t.id FROM curtailment_plan_miners t JOIN miner_latest latest ON latest.miner_id = t.miner_id
JOIN curtailment_plans p ON p.id = t.plan_id
WHERE t.state = 'confirmed' AND {HOLDING} AND t.release_requested_at IS NULL AND latest.seen_at > t.confirmed_at
  AND CASE WHEN latest.power_w IS NOT NULL AND NOT latest.power_estimated THEN latest.power_w > %(share)s * t.baseline_w
           ELSE latest.hashrate_ths > %(crumbs)s AND latest.hashrate_ths IS DISTINCT FROM latest.hashrate_avg_ths END
"""  # noqa: S608
MEASURE = """
UPDATE curtailment_plan_miners t SET observed_w = latest.power_w, measured_at = latest.seen_at
FROM miner_latest latest
WHERE t.state = 'confirmed' AND latest.miner_id = t.miner_id AND latest.seen_at > t.measured_at
  AND latest.power_w IS NOT NULL AND NOT latest.power_estimated
"""
ON_AGAIN = """
SELECT t.id FROM curtailment_plan_miners t LEFT JOIN miner_commands command ON command.id = t.command_id
LEFT JOIN miner_command_batches batch ON batch.id = command.batch_id
LEFT JOIN miner_latest latest ON latest.miner_id = t.miner_id
WHERE t.state = 'restoring'
  AND (batch.order = 'wake' AND command.status = 'confirmed'
       OR latest.seen_at > t.restoring_at + interval '60 s' AND latest.hashrate_ths > %(crumbs)s
          AND latest.hashrate_ths IS DISTINCT FROM latest.hashrate_avg_ths)
"""
STILL_OFF = f"""
UPDATE curtailment_plan_miners t
SET last_error = command.detail, command_id = NULL, fence = %(fence)s,
    next_attempt_at = {REST}
FROM miner_commands command
WHERE t.state = 'restoring' AND command.id = t.command_id AND command.status IN ('failed', 'expired', 'unsupported')
"""  # noqa: S608


def look_at_rows(lease: Lease, report: PassReport) -> None:
    """Move rows whose commands have ended, or whose machines say otherwise by now."""
    fence = {"fence": lease.lock.lock_version}
    limits = {"share": ASLEEP_BELOW, "crumbs": NO_HASHRATE_THS}
    faults.point("before confirm")
    with lease.transaction():
        change(TAKEN, fence)
        report.confirmed += change(CONFIRM, fence)
        failed = query(FAIL, fence | {"tries": TRIES, "off": CALLED_OFF + "%"})
        report.unreachable += sum(state == "unreachable" for (state,) in failed)
        report.drifted += drift([row for (row,) in query(DRIFTED, limits)], lease.lock.lock_version)
        change(MEASURE)
    with lease.transaction():
        report.done += give_back([row for (row,) in query(ON_AGAIN, limits)], lease.lock.lock_version)
        change(STILL_OFF, fence)
