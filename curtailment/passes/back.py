"""Bringing machines back: in waves, the most efficient first, and again and again until each is measured to hash."""

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

from curtailment.models import CurtailmentPlan, SitePolicy
from curtailment.passes import faults, orders
from curtailment.passes.report import PassReport
from curtailment.passes.rows import CURTAILED, FROZEN, WANTED_BY, change, end_rows, query
from curtailment.trail import note
from events.locks import Lease
from events.outbox import publish
from hosting.commands import call_off
from hosting.commands.machines import machines_of
from hosting.commands.readings import look_at
from hosting.commands.sending import MOST_SENDS
from hosting.control import Order
from hosting.control.proof import NO_HASHRATE_THS
from hosting.models import Miner
from hosting.services import uncurtail_miners
from minefarm.lib.clock import database_now

# A machine that took the order may need minutes until it hashes; firmware that gets it again meanwhile may begin anew.
WAKE_WITHIN = timedelta(minutes=5)
# An order to sleep that was on the wire when it was called off arrives by then: an order to wake must not overtake it.
CROSSING = timedelta(seconds=12)
LOOK_FIRST_AFTER = 4  # orders to wake; from then on only who answers, and does not hash, gets another one
MOST_LOOKS = 300  # at once: a whole site that is dead must not hold the others up
LEAST_WAVE, MOST_WAVE, SHARE = 10, 100, Decimal("0.02")

OVER = """
SELECT id FROM curtailment_plans
WHERE recovery_state = 'scheduled'
  AND (recovery_time <= clock_timestamp() OR restore_requested_at IS NOT NULL OR status = 'cancelled')
ORDER BY recovery_time, id
"""
TURN = """
UPDATE curtailment_plans
SET recovery_state = 'recovering', recovering_at = clock_timestamp(), updated_at = clock_timestamp(),
    executed_at = CASE WHEN status = 'executing' THEN clock_timestamp() ELSE executed_at END,
    status = CASE WHEN status = 'executing' THEN 'executed' ELSE status END
WHERE id = %(plan)s AND recovery_state = 'scheduled'
  AND (recovery_time <= clock_timestamp() OR restore_requested_at IS NOT NULL OR status = 'cancelled')
"""
OPEN_SLEEPS = """
SELECT t.id, command.id FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
JOIN miner_commands command ON command.id = t.command_id
JOIN miner_command_batches batch ON batch.id = command.batch_id
WHERE command.finished_at IS NULL AND batch.order = 'sleep' AND t.state NOT IN ('restoring', 'done', 'released')
  AND (p.recovery_state IN ('recovering', 'incomplete') OR t.release_requested_at IS NOT NULL)
"""
AFTER_CROSSING = """
UPDATE curtailment_plan_miners t SET next_attempt_at = coalesce(command.sent_at + %(crossing)s, clock_timestamp())
FROM miner_commands command WHERE command.id = t.command_id AND t.id = ANY(%(rows)s)
"""
# The others wait for nothing: what was planned for the way down does not hold up the way back.
AT_ONCE = """
UPDATE curtailment_plan_miners t SET next_attempt_at = clock_timestamp()
FROM curtailment_plans p WHERE p.id = t.plan_id AND p.id = %(plan)s AND t.state NOT IN ('restoring', 'done', 'released')
"""
AT_FROZEN_SITES = f"""
SELECT command.id FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
JOIN miner_commands command ON command.id = t.command_id
WHERE command.finished_at IS NULL AND {FROZEN}
"""  # noqa: S608
# Sent as often as a command is, and never answered: the order did not arrive, and waiting for its effect is idle.
UNANSWERED = """
SELECT command.id FROM curtailment_plan_miners t JOIN miner_commands command ON command.id = t.command_id
WHERE t.state = 'restoring' AND command.status = 'sent' AND command.attempts >= %(sends)s
  AND command.sent_at < clock_timestamp() - interval '20 s'
"""
# It said yes, or hung up as some makes do when they obey, and draws no more than asleep: whoever boots draws more by then.
NOT_BEGUN = """
SELECT command.id FROM curtailment_plan_miners t JOIN miner_commands command ON command.id = t.command_id
WHERE t.state = 'restoring' AND command.status = 'accepted' AND command.sent_at < clock_timestamp() - interval '60 s'
  AND (command.after -> -1 ->> 'answered')::boolean AND (command.after -> -1 ->> 'power_measured')::boolean
  AND (command.after -> -1 ->> 'power_w')::numeric < 0.1 * t.baseline_w
"""
READY = f"""
FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id JOIN hosting_miners miner ON miner.id = t.miner_id
WHERE t.state NOT IN ('done', 'released') AND t.next_attempt_at <= clock_timestamp() AND NOT {FROZEN}
  AND (p.recovery_state IN ('recovering', 'incomplete')
       OR t.release_requested_at IS NOT NULL AND p.status IN ('executing', 'executed') AND p.recovery_state = 'scheduled')
  AND NOT EXISTS (SELECT FROM miner_commands command WHERE command.id = t.command_id AND command.finished_at IS NULL)
  AND NOT (t.state = 'restoring' AND t.command_id IS NOT NULL)
"""
SITES = f"SELECT DISTINCT p.site_id {READY} ORDER BY 1"
TIRED = f"""
SELECT t.id, t.miner_id {READY} AND t.state = 'restoring' AND t.attempts >= %(orders)s
ORDER BY t.next_attempt_at LIMIT {MOST_LOOKS}
"""
DUE = f"""
SELECT t.id, t.plan_id, t.miner_id, t.baseline_w, miner.status, t.dispatched_at IS NULL, ({WANTED_BY}),
       t.state = 'restoring', t.attempts
{READY} AND p.site_id = %(site)s
ORDER BY t.release_requested_at IS NULL, t.baseline_w / nullif(t.hashrate_ths, 0) NULLS LAST, t.id
FOR UPDATE OF t
"""
CLAIM = """
UPDATE curtailment_plan_miners
SET attempts = CASE WHEN state = 'restoring' THEN attempts + 1 ELSE 1 END, state = 'restoring', fence = %(fence)s,
    restoring_at = coalesce(restoring_at, clock_timestamp()), last_error = '', command_id = NULL
WHERE id = ANY(%(ids)s)
"""
UNDER_WAY = """
SELECT count(*) FILTER (WHERE t.restoring_at > %(wave)s),
       coalesce(sum(t.baseline_w) FILTER (WHERE t.restoring_at > %(minute)s), 0)
FROM curtailment_plan_miners t JOIN curtailment_plans p ON p.id = t.plan_id
WHERE p.site_id = %(site)s AND t.restoring_at > least(%(wave)s, %(minute)s)
"""
STOPPED = "SELECT count(*) FROM curtailment_plan_miners WHERE plan_id = %(plan)s AND dispatched_at IS NOT NULL"
# The longer it takes, the longer the rest, up to a minute.
REST = "clock_timestamp() + least(interval '60 s', interval '2 s' + (clock_timestamp() - t.restoring_at) / 4)"
SILENT = f"""
UPDATE curtailment_plan_miners t SET next_attempt_at = {REST}, last_error = %(why)s, fence = %(fence)s
WHERE id = ANY(%(ids)s)
"""  # noqa: S608
Row = tuple[int, int, int, Decimal, str, bool, int | None, bool, int]


def begin(lease: Lease, report: PassReport) -> None:
    """Plans whose time is over turn back; what is open of their orders to sleep is called off in the same transaction."""
    for (plan_id,) in query(OVER):
        with report.apart(f"turning plan {plan_id} back"), lease.transaction():
            if not change(TURN, {"plan": plan_id}):
                continue
            change(AT_ONCE, {"plan": plan_id})
            _call_off_sleeps()
            report.recovering += 1
            plan = CurtailmentPlan.objects.get(pk=plan_id)
            note("recovery began", plan=plan)
            publish(
                "curtailment.plan_recovering",
                about=f"plan:{plan_id}",
                plan_id=plan_id,
                site_id=plan.site_id,
                machines=query(STOPPED, {"plan": plan_id})[0][0],
                requested=plan.restore_requested_at is not None,
            )
        faults.point("after recovery began")
    if query(OPEN_SLEEPS):
        with lease.transaction():
            _call_off_sleeps()


def _call_off_sleeps() -> None:
    found = query(OPEN_SLEEPS)
    if found:
        change(AFTER_CROSSING, {"rows": [row for row, _ in found], "crossing": CROSSING})
        call_off([command for _, command in found], "the machine is to come back")


def call_off_at_frozen_sites(lease: Lease) -> None:
    """No packet of any kind leaves for a frozen site."""
    if query(AT_FROZEN_SITES):
        with lease.transaction():
            call_off([command for (command,) in query(AT_FROZEN_SITES)], "the site is frozen")


def wake(lease: Lease, report: PassReport) -> None:
    """One wave of each site, and again those whose last order brought nothing."""
    _call_off_idle_wakes(lease)
    again = _look(lease, report)
    for (site_id,) in query(SITES):
        with report.apart(f"bringing machines of site {site_id} back"), lease.transaction():
            rows: list[Row] = query(DUE, {"site": site_id})
            report.ordered_on += _wake(site_id, rows, again, lease.lock.lock_version, report)
    faults.point("after wake pre-write")


def _call_off_idle_wakes(lease: Lease) -> None:
    """Orders to wake that brought nothing, so that they can be given again."""
    idle = {
        "no answer came; it is given again": query(UNANSWERED, {"sends": MOST_SENDS}),
        "it took the order and sleeps on; it is given again": query(NOT_BEGUN),
    }
    for reason, commands in idle.items():
        if commands:
            with lease.transaction():
                call_off([command for (command,) in commands], reason)


def _look(lease: Lease, report: PassReport) -> set[int]:
    """Of machines with several orders behind them, those that answer and do not hash; the others get no order, and no line."""
    tired = {miner: row for row, miner in query(TIRED, {"orders": LOOK_FIRST_AFTER})}
    if not tired:
        return set()
    machines = [known.machine for known in machines_of(list(tired)).values()]
    seen = asyncio.run(look_at(machines)) if machines else {}
    there = {miner for miner, reading in seen.items() if reading.answered}
    hashing = {miner for miner in there if (seen[miner].hashrate_ths or 0) > NO_HASHRATE_THS}
    silent = [row for miner, row in tired.items() if miner not in there]
    with lease.transaction():
        report.done += give_back([tired[miner] for miner in hashing], lease.lock.lock_version)
        change(
            SILENT,
            {
                "ids": silent,
                "why": "it does not answer: looked for every minute",
                "fence": lease.lock.lock_version,
            },
        )
    return there - hashing


def _wake(site_id: int, rows: list[Row], again: set[int], fence: int, report: PassReport) -> int:
    policy = SitePolicy.objects.filter(site=site_id).first() or SitePolicy(site_id=site_id)
    machines, watts = _room(policy, {row[1] for row in rows})
    give: dict[int, dict[int, int]] = defaultdict(dict)  # plan: machine: row
    for row, plan_id, miner, baseline_w, status, untouched, wanted_by, repeated, attempts in rows:
        if wanted_by is not None:
            report.released += end_rows([row], "released", f"held by plan {wanted_by}", fence)
        elif untouched and status != CURTAILED:
            report.released += end_rows([row], "released", "it was not stopped", fence)
        elif repeated:
            if attempts < LOOK_FIRST_AFTER or miner in again:
                give[plan_id][miner] = row
        elif machines > 0 and (watts is None or watts > 0):
            machines -= 1
            watts = None if watts is None else watts - baseline_w
            give[plan_id][miner] = row
    for plan_id, miners in give.items():
        change(CLAIM, {"ids": list(miners.values()), "fence": fence})
        plan = CurtailmentPlan.objects.get(pk=plan_id)
        orders.give(plan, sorted(miners), Order.WAKE, expires_after=WAKE_WITHIN, fence=fence)
    return sum(map(len, give.values()))


def _room(policy: SitePolicy, plans: set[int]) -> tuple[int, Decimal | None]:
    """How many machines and watts more may be woken at the site now."""
    now = database_now()
    stopped = max(query(STOPPED, {"plan": plan})[0][0] for plan in plans)
    wave = policy.wake_wave or wave_of(stopped)
    every = timedelta(seconds=policy.wake_every_s)
    times = {"site": policy.site_id, "wave": now - every, "minute": now - timedelta(minutes=1)}
    ((machines, watts),) = query(UNDER_WAY, times)
    limit = policy.up_mw_per_min
    return max(0, wave - machines), None if limit is None else limit * 1_000_000 - watts


def wave_of(machines: int) -> int:
    """Machines that wake at once when the site says nothing: 2 % of the plan, at least 10 and at most 100."""
    return min(MOST_WAVE, max(LEAST_WAVE, ceil(machines * SHARE)))


def back_by(plan: CurtailmentPlan, policy: SitePolicy, machines: int) -> datetime:
    """When the last wave has its order, had nothing gone wrong; for a plan that has begun its way back."""
    waves = ceil(machines / (policy.wake_wave or wave_of(machines))) if machines else 0
    ramp_s: float = waves * policy.wake_every_s
    if policy.up_mw_per_min:
        ramp_s = max(ramp_s, float(plan.planned_reduction / policy.up_mw_per_min) * 60)
    began: datetime = plan.recovering_at or plan.recovery_time
    return began + timedelta(seconds=ramp_s)


def give_back(rows: list[int], fence: int) -> int:
    """End rows whose machines were measured to hash, and give the machines back unless another plan holds them."""
    if not rows:
        return 0
    ended = end_rows(rows, "done", "", fence)
    free = query(
        f"SELECT t.miner_id FROM curtailment_plan_miners t WHERE t.id = ANY(%(ids)s) AND ({WANTED_BY}) IS NULL",  # noqa: S608
        {"ids": rows},
    )
    uncurtail_miners(Miner.objects.filter(pk__in=[miner for (miner,) in free]), reason="it hashes again", by=None)
    return ended
