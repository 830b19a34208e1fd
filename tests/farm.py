"""Simulated machines for tests: a real process of the real command, on a loopback network of the test worker's own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]


def network(number: int) -> str:
    """First address of a loopback network that no other test process uses; number 0 to 99, for up to 250 machines."""
    return f"127.{130 + number}.{os.getpid() % 256}.1"


@contextmanager
def simulated_fleet(miners: int, host: str, *arguments: str) -> Iterator[dict[str, object]]:
    """Run `simulate_fleet` until left; yields the document that it prints."""
    command = [*MANAGE, "simulate_fleet", "--json", "--miners", str(miners), "--host", host, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def database_url() -> str:
    """DATABASE_URL of the database that this test uses, for processes that the test starts."""
    from django.db import connection

    return os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + str(connection.settings_dict["NAME"])


def run_manage(*arguments: str, timeout_s: float = 60, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A `manage.py` call as an operator makes it, on the test's database."""
    return subprocess.run(
        [*MANAGE, *arguments],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
