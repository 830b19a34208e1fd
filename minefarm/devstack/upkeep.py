"""Looking at the embedded servers, and removing them."""

import contextlib
import os
import shutil
import signal
import time
from typing import Any

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.locks import FileLock
from minefarm.devstack.paths import Home, home_of, read_document, size_bytes
from minefarm.devstack.server import is_server_of

DATA_FOLDERS = ("postgres", "valkey")
STOP_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05


def status(profile: str = "dev") -> dict[str, Any]:
    """What runs and how much room it takes, for `doctor`; starts nothing. Sizes are bytes, ports null when stopped."""
    home = home_of(profile)
    state = read_document(home.state_file)
    keeper_pid = live_keeper(home)
    running = state.get("servers", {}) if keeper_pid is not None else {}
    return {
        "profile": profile,
        "folder": str(home.folder),
        "running": bool(running),
        "keeper_pid": keeper_pid,
        "servers": {
            name: {
                "running": name in running,
                "port": running.get(name, {}).get("port"),
                "pid": running.get(name, {}).get("pid"),
                "data": str(home.data_of(name)),
                "size_bytes": size_bytes(home.data_of(name)),
                "log": str(home.log_of(name)),
            }
            for name in DATA_FOLDERS
        },
    }


def live_keeper(home: Home) -> int | None:
    """The pid of this home's keeper; a killed one leaves its state behind until the next one starts."""
    pid: int | None = read_document(home.state_file).get("keeper_pid")
    return pid if pid is not None and _is_keeper(home, pid) else None


def destroy(profile: str = "dev") -> bool:
    """Stop the servers, delete their data; False when there was nothing. Raises DevstackError while they are used."""
    home = home_of(profile)
    if not home.folder.exists():
        return False
    home.make()
    lease = FileLock.open(home.lease_lock)
    try:
        # From here on until the folder is gone newcomers wait, and then find another lease file.
        _take_lease(home, lease)
        _stop_keeper(home)
        shutil.rmtree(home.folder)
    except OSError as error:
        raise DevstackError(f"{home.folder} cannot be removed: {error}. Remove it as its owner.") from error
    finally:
        lease.close()
    with contextlib.suppress(OSError):
        home.folder.parent.rmdir()
    return True


def _take_lease(home: Home, lease: FileLock) -> None:
    # A keeper tries the lock for an instant ten times a second: one refusal is no user yet.
    deadline_s = time.monotonic() + 1.0
    while not lease.try_exclusive():
        if time.monotonic() > deadline_s:
            raise DevstackError(
                f"The embedded servers in {home.folder} are in use: stop `make demo`, `make test` and every manage.py "
                "command of this checkout first, then run again."
            )
        time.sleep(POLL_INTERVAL_S)


def _stop_keeper(home: Home) -> None:
    keeper_lock = FileLock.open(home.keeper_lock)
    seen: set[int] = set()
    try:
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        # It frees the lock with its last breath: wait for the process too.
        while not keeper_lock.try_exclusive() or any(_is_keeper(home, pid) for pid in seen):
            pid = live_keeper(home)
            if pid is not None:
                seen.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            if time.monotonic() > deadline_s:
                raise DevstackError(
                    f"The keeper in {home.folder} does not stop: read {home.keeper_log}, kill it, run again."
                )
            time.sleep(POLL_INTERVAL_S)
    finally:
        keeper_lock.close()


def _is_keeper(home: Home, pid: int) -> bool:
    return is_server_of(pid, program="minefarm.devstack.keeper", mark=str(home.folder.parent))
