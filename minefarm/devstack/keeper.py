"""The keeper: owns the servers of one home, answers requests for them, stops them when nobody uses them.

It runs detached from every user of the servers: `python -m minefarm.devstack.keeper --profile dev --state-dir DIR
--lock-fd N`, where descriptor N holds the keeper lock, so that exactly one keeper can live whoever else starts one.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.locks import FileLock
from minefarm.devstack.paths import PROFILES, Home, read_document, write_private
from minefarm.devstack.postgres import Postgres
from minefarm.devstack.server import Server
from minefarm.devstack.valkey import Valkey

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.1
LINGER_S = 2.0
RESTARTS_PER_MINUTE = 3
SERVERS: Final[Mapping[str, Callable[[Home], Server]]] = {"postgres": Postgres, "valkey": Valkey}


class Keeper:
    """One poll after another: answer requests, mind the servers, leave when nobody holds the lease."""

    def __init__(self, home: Home, *, lease: FileLock) -> None:
        self._home = home
        self._lease = lease
        self._servers: dict[str, Server] = {}
        self._deaths: dict[str, deque[float]] = {}
        self._stopping = False

    def stop_soon(self, signum: int, _frame: FrameType | None) -> None:
        log.info("asked to stop by signal %d", signum)
        self._stopping = True

    def run(self) -> None:
        """Return when the servers are stopped; the caller's exit then frees the locks."""
        unused_since_s = time.monotonic()
        self._publish()
        try:
            while not self._stopping and self._lease.is_current():
                self._answer_requests()
                self._revive_servers()
                if not self._lease.try_exclusive():
                    unused_since_s = time.monotonic()
                elif not self._servers or time.monotonic() - unused_since_s >= LINGER_S:
                    # The exclusive lease is kept from here on: a newcomer waits until the servers are gone.
                    log.info("nobody uses the servers")
                    break
                else:
                    self._lease.unlock()
                time.sleep(POLL_INTERVAL_S)
        finally:
            self._stop_servers()

    def _answer_requests(self) -> None:
        for request in sorted(self._home.requests.glob("*.request")):
            answer: dict[str, str] = {}
            try:
                for name in read_document(request).get("servers", []):
                    self._ensure_running(name)
            except DevstackError as error:
                log.exception("a server was asked for and cannot be had")
                answer["error"] = str(error)
            # The answer first: who sees neither of the two asks again.
            write_private(request.with_suffix(".answer"), answer)
            request.unlink(missing_ok=True)

    def _ensure_running(self, name: str) -> None:
        known = self._servers.get(name)
        if known is not None and known.is_alive():
            return
        server = SERVERS[name](self._home)
        server.start(interrupted=lambda: self._stopping)
        self._servers[name] = server
        self._publish()

    def _revive_servers(self) -> None:
        """Start a server again that died under its users, on its old port, a few times a minute at most."""
        for name, server in list(self._servers.items()):
            if server.is_alive():
                continue
            log.error("%s died. Its last words:\n%s", server.title, server.last_words())
            del self._servers[name]
            self._publish()
            deaths = self._deaths.setdefault(name, deque(maxlen=RESTARTS_PER_MINUTE))
            if len(deaths) == deaths.maxlen and time.monotonic() - deaths[0] < 60:
                log.error("%s dies too often: left alone until somebody asks for it", server.title)
                continue
            deaths.append(time.monotonic())
            try:
                self._ensure_running(name)
            except DevstackError:
                log.exception("%s could not be started again", server.title)

    def _publish(self) -> None:
        servers = {name: {"port": server.port, "pid": server.pid} for name, server in self._servers.items()}
        write_private(self._home.state_file, {"keeper_pid": os.getpid(), "servers": servers})

    def _stop_servers(self) -> None:
        if self._home.folder.exists():
            self._home.state_file.unlink(missing_ok=True)
        for server in reversed(self._servers.values()):
            server.stop()
        if self._home.requests.exists() and self._lease.is_current():
            for leftover in self._home.requests.glob("*.answer"):
                leftover.unlink(missing_ok=True)
        log.info("keeper ends")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m minefarm.devstack.keeper", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--state-dir", type=Path, required=True, help="the folder of all profiles")
    parser.add_argument("--lock-fd", type=int, required=True, help="descriptor that holds the keeper lock")
    options = parser.parse_args()
    # The starter reaps this first process at once; the keeper is nobody's child, so nobody's zombie.
    if os.fork():
        os._exit(0)
    home = Home(profile=options.profile, folder=options.state_dir / options.profile)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    keeper_lock = FileLock.inherited(home.keeper_lock, options.lock_fd)
    lease = FileLock.open(home.lease_lock)
    keeper = Keeper(home, lease=lease)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, keeper.stop_soon)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log.info("keeper starts for %s (pid %d)", home.folder, os.getpid())
    keeper.run()
    # The keeper lock goes first: a newcomer let in by the lease must find it free.
    keeper_lock.close()
    lease.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
