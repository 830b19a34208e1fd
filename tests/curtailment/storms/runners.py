"""Runners as processes: to be killed, stopped, and watched."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.farm import MANAGE, ROOT, database_url

HASTY = {"CURTAILMENT_LOCK_TTL_S": "3", "MINEFARM_FACTORY_LOGINS": "1", "LOG_LEVEL": "ERROR"}


def runner(*command: str, **environment: str) -> "subprocess.Popen[bytes]":
    """A `manage.py` process on the test's database; its output goes to this test's."""
    return subprocess.Popen(
        [*MANAGE, *(command or ("run_curtailment", "--loop"))],
        env=os.environ | {"DATABASE_URL": database_url()} | HASTY | environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL, whatever state it is in."""
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)


@contextmanager
def runners(number: int, *command: str, **environment: str):
    """So many of them; what is in the list at the end is killed."""
    started = [runner(*command, **environment) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            end(process)


def packets(log: Path) -> list[dict]:
    """What machines heard: `at` (Unix time), `serial`, `order`."""
    import json

    return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
