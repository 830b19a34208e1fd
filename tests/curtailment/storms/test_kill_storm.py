"""Two runners killed and frozen about every second while 120 machines stop and come back: none forgotten, none else touched."""

import random
import signal
import time
from collections import Counter
from datetime import datetime, timedelta

import pytest

from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.verify import breaches
from hosting.models import Miner, MinerCommand, OperationLog
from minefarm.lib.clock import database_now
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty, states
from tests.curtailment.storms.runners import end, packets, runner
from tests.farm import database_url, run_manage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.storm]
IN_PLAN, OUTSIDE = 100, 20
LEAST_S, DOWN_S, BACK_S, LIMIT_S = 12.0, 100.0, 20.0, 120.0  # a busy machine takes ten seconds to start a runner


def storm_on(processes, rng) -> str:
    """One blow: a kill with a new process in its place, or a freeze of half a second to two and a half."""
    victim = rng.randrange(len(processes))
    if rng.random() < 0.5:
        end(processes[victim])
        processes[victim] = runner()
        return "killed"
    processes[victim].send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(0.5, 2.5))
    processes[victim].send_signal(signal.SIGCONT)
    return "frozen"


@pytest.mark.parametrize("seed", [5])
def test_every_machine_of_the_plan_is_on_again_and_no_other_was_touched(machines_at, site, tmp_path, seed):
    log = tmp_path / "packets.jsonl"
    rng = random.Random(seed)
    faults = ("--fault", "flaky=0.05", "--fault", "refuse=0.01")
    miners = machines_at(86, IN_PLAN + OUTSIDE, *faults, "--packet-log", str(log), speed=6.0)
    miners.sort(key=lambda one: one.fault is None)  # the dead one and the flaky ones are in the plan
    asleep = machines_at(87, 2, "--asleep", "2", "--packet-log", str(log), speed=6.0)
    hasty(site)
    hash_now(miners)
    planned = [*miners[:IN_PLAN], *asleep]
    plan = approved_plan(site, planned, seconds=900)
    processes = [runner(), runner()]
    blows: Counter[str] = Counter()
    began = time.monotonic()
    try:
        off = PlanMiner.objects.filter(plan=plan, confirmed_at__isnull=False)
        while (passed_s := time.monotonic() - began) < LEAST_S or (off.count() < IN_PLAN * 0.9 and passed_s < DOWN_S):
            blows[storm_on(processes, rng)] += 1
            time.sleep(rng.uniform(0.3, 1.0))
        most_off = off.count()
        CurtailmentPlan.objects.filter(pk=plan.pk).update(recovery_time=database_now())
        turned = time.monotonic()
        dead = {one.pk for one in miners if one.fault == "refuse"}
        back = PlanMiner.objects.filter(plan=plan).open().exclude(miner__in=dead)
        while time.monotonic() < turned + BACK_S:
            blows[storm_on(processes, rng)] += 1
            time.sleep(rng.uniform(0.3, 1.0))
        while time.monotonic() < turned + LIMIT_S and back.exists():
            time.sleep(0.3)
    finally:
        for process in processes:
            end(process)
    took_s = time.monotonic() - began
    plan.refresh_from_db()
    heard = packets(log)
    print(dict(blows), states(plan), f"{most_off} were off, {took_s:.0f} s, {len(heard)} packets")

    assert len(dead) == 1
    assert not back.exists(), list(back.values("miner", "state", "attempts", "last_error"))
    assert most_off >= IN_PLAN * 0.9
    # Nobody else heard anything; who was asleep before heard nothing either.
    named = {one.serial_number: one for one in planned[:IN_PLAN]}
    assert {packet["serial"] for packet in heard} <= set(named)
    # The last word to every machine was to wake, and each packet has a line from before it.
    last: dict[str, str] = {}
    lines: dict[str, list[datetime]] = {}
    for line in (
        OperationLog.objects.filter(operation__in=["sleep", "wake"])
        .order_by("timestamp")
        .values("miner__serial_number", "operation", "timestamp")
    ):
        lines.setdefault(f"{line['miner__serial_number']} {line['operation']}", []).append(line["timestamp"])
    for packet in sorted(heard, key=lambda packet: packet["at"]):
        last[packet["serial"]] = packet["order"]
        before = lines[f"{packet['serial']} {packet['order']}"]
        assert before[0].timestamp() <= packet["at"]
    assert set(last.values()) == {"wake"}
    for key, written in lines.items():
        serial, order = key.split(" ")
        count = sum(1 for packet in heard if (packet["serial"], packet["order"]) == (serial, order))
        # A line stands for one sending, whose exchange may be repeated on the wire by the make's own protocol.
        assert count <= 2 * len(written), key
    assert breaches() == []
    assert CurtailmentPlan.objects.get(pk=plan.pk).recovery_state in {"recovered", "recovering", "incomplete"}
    late = MinerCommand.objects.filter(batch__order="sleep", sent_at__gt=plan.recovery_time + timedelta(seconds=1))
    assert not late.exists()

    # The dead one keeps its plan open until somebody takes it over.
    (serial,) = Miner.objects.filter(pk__in=dead).values_list("serial_number", flat=True)
    told = run_manage("hand_over_curtailment", serial, "--reason", "its supply is dead", DATABASE_URL=database_url())
    assert told.returncode == 0, told.stderr
    end_by = time.monotonic() + 60
    while CurtailmentPlan.objects.get(pk=plan.pk).recovery_state != "recovered":
        assert time.monotonic() < end_by
        run_manage("run_curtailment", DATABASE_URL=database_url(), MINEFARM_FACTORY_LOGINS="1")
    assert Miner.objects.get(pk__in=dead).status == "maintenance"
    assert breaches() == []
