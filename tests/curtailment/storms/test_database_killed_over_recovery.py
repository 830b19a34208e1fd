"""SIGKILL of PostgreSQL shortly before machines are due back: the runner waits for it, and the first wake follows its return."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import psycopg
import pytest

from minefarm.devstack import destroy, lease
from tests.farm import MANAGE, ROOT, network, simulated_fleet

pytestmark = pytest.mark.storm
MINERS, AWAY_S = 12, 8.0
PLAN = """
from datetime import timedelta
from hosting.models import Miner, Site
from tests.curtailment.plans_at_hand import approved_plan, hash_now, hasty
site = Site.objects.get()
hasty(site)
miners = list(Miner.objects.all())
hash_now(miners)
print(approved_plan(site, miners, seconds=SECONDS).pk)
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A PostgreSQL of the test's own, which is killed and started again here."""
    monkeypatch.setenv("MINEFARM_STATE_DIR", str(tmp_path / "servers"))
    with lease("dev") as held:
        variables = os.environ | {
            "DATABASE_URL": held.urls.database_url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "MINEFARM_STATE_DIR": str(tmp_path / "host"),
            "DJANGO_SETTINGS_MODULE": "minefarm.settings",
            "MINEFARM_FACTORY_LOGINS": "1",
            "CURTAILMENT_LOCK_TTL_S": "5",
            "LOG_LEVEL": "CRITICAL",
        }
        subprocess.run([*MANAGE, "migrate", "-v0"], env=variables, check=True, cwd=ROOT)
        for name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.setenv(name, variables[name])
        yield variables
    destroy("dev")


def asked(environment, statement: str):
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True, connect_timeout=2) as direct:
        return direct.execute(statement).fetchone()[0]


def wait_for(condition, within_s: float) -> None:
    end = time.monotonic() + within_s
    while True:
        with suppress(psycopg.OperationalError):
            if condition():
                return
        assert time.monotonic() < end
        time.sleep(0.3)


def processes_of(folder, name: str) -> list[psutil.Process]:
    """Those of that state folder, such as the postmaster and the one that keeps it."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if name in " ".join((process.info["cmdline"] or [])[:4])
        and str(folder) in " ".join(process.info["cmdline"] or [])
    ]


def test_the_first_wake_follows_the_databases_return_within_a_minute(environment, tmp_path):
    off = "SELECT count(*) FROM curtailment_plan_miners WHERE state = 'confirmed'"
    seconds = 30
    fleet = simulated_fleet(MINERS, network(91), "--make", "Whatsminer=1", "--speed", "8", "--register", "Storm")
    with fleet:
        shell = [*MANAGE, "shell", "-v0", "-c", PLAN.replace("SECONDS", str(seconds))]
        subprocess.run(shell, env=environment, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        command = [*MANAGE, "run_curtailment", "--loop"]
        with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=sys.stderr) as runner:
            try:
                wait_for(lambda: asked(environment, off) == MINERS, seconds)
                wait_for(
                    lambda: asked(environment, "SELECT recovery_time - interval '3 s' < now() FROM curtailment_plans"),
                    40,
                )
                (keeper,) = processes_of(tmp_path / "servers", "devstack.keeper")
                keeper.suspend()  # else it would start the server again at once
                try:
                    for process in processes_of(tmp_path / "servers", "bin/postgres"):
                        process.send_signal(signal.SIGKILL)
                    time.sleep(AWAY_S)
                finally:
                    keeper.resume()
                back = time.time()
                wait_for(lambda: asked(environment, "SELECT count(restoring_at) FROM curtailment_plan_miners") > 0, 60)
                first = asked(environment, "SELECT extract(epoch FROM min(restoring_at)) FROM curtailment_plan_miners")
                wait_for(lambda: asked(environment, "SELECT recovery_state FROM curtailment_plans") == "recovered", 90)
            finally:
                runner.kill()
                runner.wait()
        print(f"first wake {float(first) - back:.0f} s after the database was let live")
        verified = subprocess.run([*MANAGE, "verify_curtailment"], env=environment, cwd=ROOT, check=False)
        assert verified.returncode == 0
