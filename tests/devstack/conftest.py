"""Each test has a state folder of its own; what it started must be gone, or removable, when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from minefarm.devstack import Lease, destroy, lease, status
from minefarm.devstack.paths import CHECKOUT

HOLD_A_LEASE = """
import sys
from minefarm.devstack import lease
held = lease(sys.argv[1])
print(held.urls.database_url, held.urls.redis_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "state of a farm"
    monkeypatch.setenv("MINEFARM_STATE_DIR", str(folder))
    yield folder
    for profile in ("dev", "test"):
        destroy(profile)
    assert not processes_of(folder)


@pytest.fixture
def holders(state_dir: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that hold a lease until they are killed; they say their URLs on their first line."""
    started: list[subprocess.Popen[str]] = []

    def hold(profile: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD_A_LEASE, profile]
        process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def valkey_lease(state_dir: Path) -> Iterator[Lease]:
    with lease("test", servers=["valkey"]) as held:
        yield held


def processes_of(folder: Path) -> list[psutil.Process]:
    """Keepers and servers of a state folder, and all they started."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(str(folder) in part for part in process.cmdline()):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def stop_keeper(profile: str, folder: Path) -> None:
    """What the keeper does when nobody holds a lease, without the wait."""
    started = processes_of(folder)
    os.kill(status(profile)["keeper_pid"], signal.SIGTERM)
    assert eventually(lambda: gone(started))


def server_pid(profile: str, name: str) -> int:
    return status(profile)["servers"][name]["pid"]


def eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
