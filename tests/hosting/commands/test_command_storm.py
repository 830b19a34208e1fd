"""A thousand machines at once, five in a hundred dead; and workers that are killed in the middle."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from hosting.cgminer.simulator import build_farm
from hosting.commands import order_machines, work_commands
from hosting.control import Order
from hosting.models import Miner, MinerCommand, OperationLog
from hosting.simulation import register_simulated
from tests.farm import MANAGE, ROOT, database_url, network, run_manage, simulated_fleet

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.storm]


def test_a_thousand_machines_have_results_within_a_minute(site, catalogue):
    host = network(70)
    arguments = ("--fault", "hang=0.02", "--fault", "refuse=0.03")
    with simulated_fleet(1000, host, *arguments):
        machines = build_farm(1000, host=host, faults={"hang": 0.02, "refuse": 0.03})
        register_simulated(machines, site=site)
        done = run_manage(
            "command_miners",
            "sleep",
            "--site",
            "North",
            "--json",
            timeout_s=150,
            DATABASE_URL=database_url(),
            MINEFARM_FACTORY_LOGINS="1",
        )
        document = json.loads(done.stdout)
    print({key: document[key] for key in ("results", "wall_s")})
    assert document["finished"] is True
    assert document["wall_s"] < 60
    generic = sum(1 for machine in machines if machine.make == "Generic" and machine.fault is None)
    results = document["results"]
    assert results["confirmed"] == 950 - generic
    assert results["failed"] + results["unsupported"] == 50 + generic  # nobody commands a generic machine
    for line in OperationLog.objects.filter(operation="sleep").values("miner_id", "timestamp"):
        command = MinerCommand.objects.get(miner=line["miner_id"])
        assert command.accepted_at is None or line["timestamp"] <= command.accepted_at


def test_workers_that_are_killed_leave_no_machine_without_a_result(site, catalogue, settings):
    settings.MINEFARM_FACTORY_LOGINS = True
    host = network(71)
    rng = random.Random(7)
    with simulated_fleet(120, host, "--make", "Whatsminer=1"):
        register_simulated(build_farm(120, host=host, makes={"Whatsminer": 1}), site=site)
        batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="storm", by=None)
        environment = os.environ | {"DATABASE_URL": database_url(), "MINEFARM_FACTORY_LOGINS": "1"}
        for _ in range(6):
            worker = subprocess.Popen(
                [*MANAGE, "shell", "-c", "from hosting.commands import work_commands; work_commands(seconds=60)"],
                env=environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(rng.uniform(1.5, 3.0))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            MinerCommand.objects.filter(claimed_until__isnull=False).update(claimed_until="2026-01-01T00:00Z")
        work_commands(seconds=240, batch_id=batch.pk)  # returns when nothing is open
    assert batch.counts()["confirmed"] == 120
    for command in batch.commands.all():
        assert command.miner.operations.filter(operation="sleep").count() == command.attempts
