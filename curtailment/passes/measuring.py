"""Looking at machines that are off: what they draw once the power has fallen, and whether they came back by themselves.

Where the collector reads a machine each minute, its readings serve; the pass asks those itself of which it hears nothing.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal

from curtailment.passes.report import PassReport
from curtailment.passes.rows import FROZEN, HOLDING, change, query
from events.locks import Lease
from events.outbox import Fact, publish_many
from hosting.commands.machines import machines_of
from hosting.commands.readings import look_at
from hosting.control import Evidence
from hosting.control.proof import ASLEEP_BELOW, NO_HASHRATE_THS

AT_ONCE = 500
SETTLED_AFTER = timedelta(seconds=12)  # confirmed means half the power; it falls on for a while
HEARD_WITHIN = timedelta(seconds=150)

DUE = f"""
SELECT t.id, t.miner_id, t.baseline_w FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
WHERE t.state = 'confirmed' AND {HOLDING} AND NOT {FROZEN} AND t.release_requested_at IS NULL
  AND (t.measured_at <= t.confirmed_at AND t.confirmed_at < clock_timestamp() - %(settled)s
       OR t.measured_at < clock_timestamp() - %(heard)s)
ORDER BY t.measured_at LIMIT {AT_ONCE}
"""  # noqa: S608
NOTE = """
UPDATE curtailment_plan_miners t SET observed_w = coalesce(known.watts, t.observed_w), measured_at = clock_timestamp()
FROM unnest(%(ids)s::int[], %(watts)s::numeric[]) AS known (id, watts) WHERE t.id = known.id AND t.state = 'confirmed'
"""
DRIFT = """
UPDATE curtailment_plan_miners t
SET state = 'drifted', drifts = t.drifts + 1, observed_w = NULL, confirmed_at = NULL, measured_at = NULL, attempts = 0,
    next_attempt_at = clock_timestamp(), last_error = 'it came back by itself', fence = %(fence)s
FROM curtailment_plans p
WHERE t.id = ANY(%(ids)s) AND t.state = 'confirmed' AND p.id = t.plan_id
RETURNING t.plan_id, p.site_id, t.miner_id, t.drifts
"""


def look(lease: Lease, report: PassReport) -> None:
    """Ask the machines that are off and were not heard of for a while."""
    ages = {"settled": SETTLED_AFTER, "heard": HEARD_WITHIN}
    due = {miner: (row, baseline_w) for row, miner, baseline_w in query(DUE, ages)}
    if not due:
        return
    machines = [known.machine for known in machines_of(list(due)).values()]
    seen = asyncio.run(look_at(machines))
    awake = [due[miner][0] for miner, reading in seen.items() if is_awake(reading, due[miner][1])]
    watts = [seen[miner].measured_w if miner in seen else None for miner in due]
    with lease.transaction():
        report.drifted += drift(awake, lease.lock.lock_version)
        change(
            NOTE,
            {
                "ids": [row for row, _ in due.values()],
                "watts": [None if one is None else round(Decimal(one), 2) for one in watts],
            },
        )


def is_awake(reading: Evidence, baseline_w: Decimal) -> bool:
    """Whether a machine that should be off is at work, by its meter where it has one."""
    if reading.measured_w is not None:
        return reading.measured_w > ASLEEP_BELOW * float(baseline_w)
    return reading.hashrate_ths is not None and reading.hashrate_ths > NO_HASHRATE_THS


def drift(rows: list[int], fence: int) -> int:
    """Rows whose machines came back by themselves: they are stopped again, counted and told of."""
    if not rows:
        return 0
    drifted = query(DRIFT, {"ids": rows, "fence": fence})
    publish_many(
        "curtailment.miner_drifted",
        [
            Fact(
                f"miner:{miner_id}",
                {"plan_id": plan_id, "site_id": site_id, "miner_id": miner_id, "drifts": drifts},
                dedupe_key=f"curtailment:{plan_id}:{miner_id}:drift:{drifts}",
            )
            for plan_id, site_id, miner_id, drifts in drifted
        ],
    )
    return len(drifted)
