"""Using the embedded servers: a lease keeps them running for as long as its holder lives."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.locks import FileLock
from minefarm.devstack.paths import CHECKOUT, Home, home_of, read_document, unwritable, write_private
from minefarm.devstack.postgres import DATABASE, ROLE
from minefarm.devstack.server import LOOPBACK
from minefarm.devstack.upkeep import live_keeper

ALL_SERVERS = ("postgres", "valkey")
POLL_INTERVAL_S = 0.03
STOP_TIMEOUT_S = 90.0
START_TIMEOUT_S = 420.0
KEEPER_ATTEMPTS = 3


@dataclass(frozen=True)
class StackUrls:
    """Where the leased servers listen, passwords included; empty for a server that was not asked for."""

    database_url: str
    redis_url: str


class Lease:
    """Keeps the servers running until released, or until the process and its forked children are gone."""

    def __init__(self, home: Home, urls: StackUrls, lock: FileLock) -> None:
        self.home = home
        self.urls = urls
        self._lock = lock

    def fileno(self) -> int:
        """For `pass_fds`: an exec'd child that gets the descriptor shares the lease."""
        return self._lock.fileno()

    def release(self) -> None:
        """Use the servers no more; the last to do so lets them be stopped about two seconds later."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease(profile: str = "dev", *, servers: Sequence[str] = ALL_SERVERS) -> Lease:
    """Start what is not running of `servers`, wait until it answers, and hold it; raises DevstackError."""
    home = home_of(profile)
    home.make()
    lock = _share_lease(home)
    try:
        _ensure_running(home, servers)
        return Lease(home, _urls_of(home, servers), lock)
    except OSError as error:
        lock.close()
        raise unwritable(home.folder, error) from error
    except BaseException:
        lock.close()
        raise


def ensure_environment(environ: MutableMapping[str, str] = os.environ, profile: str = "dev") -> Lease | None:
    """Fill in DATABASE_URL and REDIS_URL where they are missing or empty, starting only the servers they need.

    None when both are set: then nothing is started. The caller keeps the lease for as long as it uses the URLs.
    """
    variables = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL"}
    missing = [server for server, variable in variables.items() if not environ.get(variable)]
    if not missing:
        return None
    held = lease(profile, servers=missing)
    urls = {"postgres": held.urls.database_url, "valkey": held.urls.redis_url}
    for server in missing:
        environ[variables[server]] = urls[server]
    return held


def _share_lease(home: Home) -> FileLock:
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline_s:
        lock = FileLock.open(home.lease_lock)
        if lock.try_shared() and lock.is_current():
            return lock
        lock.close()
        time.sleep(POLL_INTERVAL_S)
        home.make()
    raise DevstackError(
        f"The embedded servers in {home.folder} have been stopping for {STOP_TIMEOUT_S:.0f} s: "
        f"read {home.keeper_log}, stop the keeper it names, then run again."
    )


def _ensure_running(home: Home, servers: Sequence[str]) -> None:
    attempts_left = KEEPER_ATTEMPTS
    request = home.requests / f"{os.getpid()}-{secrets.token_hex(8)}.request"
    answer_file = request.with_suffix(".answer")
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        keeper_lock = FileLock.open(home.keeper_lock)
        if keeper_lock.try_exclusive():
            if attempts_left == 0:
                raise DevstackError(f"The keeper of the embedded servers dies at once: {_last_lines(home)}")
            attempts_left -= 1
            _spawn_keeper(home, keeper_lock)
        keeper_lock.close()
        if _all_ready(home, servers):
            return
        if answer_file.exists():
            _take_answer(answer_file)
        if not request.exists():
            write_private(request, {"servers": list(servers)})
        time.sleep(POLL_INTERVAL_S)
    raise DevstackError(f"The embedded servers did not start within {START_TIMEOUT_S:.0f} s: {_last_lines(home)}")


def _spawn_keeper(home: Home, keeper_lock: FileLock) -> None:
    """Start a keeper that inherits the lock we hold: between us and it nobody else can become one."""
    home.state_file.unlink(missing_ok=True)
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "minefarm.devstack.keeper", "--profile", home.profile]
    command += ["--state-dir", str(home.folder.parent), "--lock-fd", str(keeper_lock.fileno())]
    with home.keeper_log.open("ab") as output:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home.folder,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=(keeper_lock.fileno(),),
            start_new_session=True,
            check=False,
        )


def _all_ready(home: Home, servers: Sequence[str]) -> bool:
    running = read_document(home.state_file).get("servers", {})
    return running.keys() >= set(servers) and live_keeper(home) is not None


def _take_answer(answer_file: Path) -> None:
    """Raise the keeper's error, if it answered with one."""
    answer = read_document(answer_file)
    answer_file.unlink(missing_ok=True)
    if "error" in answer:
        answer_file.with_suffix(".request").unlink(missing_ok=True)
        raise DevstackError(answer["error"])


def _urls_of(home: Home, servers: Sequence[str]) -> StackUrls:
    ports = {name: server["port"] for name, server in read_document(home.state_file)["servers"].items()}
    passwords = read_document(home.secrets_file)
    database_url = redis_url = ""
    if "postgres" in servers:
        database_url = f"postgres://{ROLE}:{passwords['postgres']}@{LOOPBACK}:{ports['postgres']}/{DATABASE}"
    if "valkey" in servers:
        redis_url = f"redis://:{passwords['valkey']}@{LOOPBACK}:{ports['valkey']}/0"
    return StackUrls(database_url=database_url, redis_url=redis_url)


def _last_lines(home: Home) -> str:
    try:
        lines = home.keeper_log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join([f"the end of {home.keeper_log} says", *lines[-8:]])
