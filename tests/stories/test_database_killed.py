"""SIGKILL of PostgreSQL in the middle of sweeps, and ten minutes without it: no minute is lost, partial or doubled."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from minefarm.devstack import destroy, lease
from tests.farm import MANAGE, ROOT, network, simulated_fleet

pytestmark = pytest.mark.storm
MINERS = 40
FIRST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)


@pytest.fixture
def own_servers(tmp_path, monkeypatch):
    """A PostgreSQL of the test's own, to be killed; whoever keeps it starts it again."""
    monkeypatch.setenv("MINEFARM_STATE_DIR", str(tmp_path / "servers"))
    with lease("dev") as held:
        yield held
    destroy("dev")


@pytest.fixture
def environment(own_servers, tmp_path):
    variables = os.environ | {
        "DATABASE_URL": own_servers.urls.database_url,
        "REDIS_URL": own_servers.urls.redis_url,
        "MINEFARM_STATE_DIR": str(tmp_path / "host"),
        "DJANGO_SETTINGS_MODULE": "minefarm.settings",
        "TELEMETRY_POLL_TIMEOUT_S": "1",
        "LOG_LEVEL": "ERROR",
    }
    subprocess.run([*MANAGE, "migrate", "-v0"], env=variables, check=True, cwd=ROOT)
    return variables


@pytest.fixture
def farm(environment, monkeypatch):
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(name, environment[name])
    with simulated_fleet(MINERS, network(60), "--register", "Storm", "--seed", "4") as document:
        yield document["registered"]["site_id"]


def postmaster(folder) -> psutil.Process | None:
    """The server's first process; None between its death and its next start."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        if words[0].endswith("postgres") and str(folder) in " ".join(words):
            return process
    return None


def kill_once_it_answers(environment, folder, within_s: float = 60) -> None:
    """Killed again before it had recovered, a server would show nothing; on a busy machine that takes seconds."""
    end = time.monotonic() + within_s
    while True:
        assert time.monotonic() < end, f"PostgreSQL is not back after {within_s:.0f} s"
        with suppress(psycopg.OperationalError):
            psycopg.connect(environment["DATABASE_URL"], connect_timeout=2).close()
            if process := postmaster(folder):
                process.send_signal(signal.SIGKILL)
                return
        time.sleep(0.1)


@contextmanager
def collectors(number, environment, *arguments):
    """So many processes sweeping side by side; yields a list that has their printed lines in the end."""
    command = [sys.executable, "-m", "tests.stories.sweeping", *map(str, arguments)]
    started = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    lines: list[str] = []
    try:
        yield lines
        for process in started:
            printed, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            lines += printed.splitlines()
    finally:
        for process in started:
            process.kill()
            process.wait()


class Line:
    """The line between a collector and PostgreSQL, which can be cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.server = (parts.hostname, parts.port)
        self.ends: list[socket.socket] = []
        self.door = self.listen(0)
        self.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self.port}").geturl()

    def listen(self, port: int) -> socket.socket:
        door = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = door.getsockname()[1]
        threading.Thread(target=self.serve, args=(door,), daemon=True).start()
        return door

    def serve(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            far = socket.create_connection(self.server)
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()

    def cut(self) -> None:
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.ends.clear()

    def mend(self) -> None:
        self.door = self.listen(self.port)


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def minutes_of(environment) -> dict[datetime, tuple[int, int]]:
    """Stored according to the sweep's record, and readings there are, by minute."""
    with psycopg.connect(environment["DATABASE_URL"]) as direct:
        rows = direct.execute(
            "SELECT s.minute, s.stored, (SELECT count(*) FROM miner_telemetry t WHERE t.recorded_at = s.minute)"
            " FROM telemetry_sweeps s ORDER BY 1"
        ).fetchall()
    return {minute: (stored, readings) for minute, stored, readings in rows}


def wait_for_a_minute(environment, within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not minutes_of(environment):
        assert time.monotonic() < end, "no sweep was stored"
        time.sleep(0.1)


def settle(environment, site, after: int) -> None:
    """The locks that dead connections left run out; one more sweep stores what waits."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as direct:
        direct.execute("UPDATE scheduler_locks SET expires_at = clock_timestamp() - interval '1 second'")
    with collectors(1, environment, site, (FIRST + timedelta(minutes=after)).isoformat(), 1, 0):
        pass


def test_three_kills_under_two_collectors_cost_no_minute(environment, farm, tmp_path):
    count, period_s = 40, 0.5
    with collectors(2, environment, farm, FIRST.isoformat(), count, period_s) as lines:
        wait_for_a_minute(environment)  # nobody can read machines of which the database never told
        for _ in range(3):
            time.sleep(4)
            kill_once_it_answers(environment, tmp_path / "servers")
    settle(environment, farm, count)
    assert any("kept for later" in line for line in lines)
    assert minutes_of(environment) == {FIRST + timedelta(minutes=n): (MINERS, MINERS) for n in range(count + 1)}


def test_ten_minutes_without_a_database_are_all_there_afterwards(environment, farm):
    count = 20
    line = Line(environment["DATABASE_URL"])
    with collectors(1, environment | {"DATABASE_URL": line.url}, farm, FIRST.isoformat(), count, 0.5) as lines:
        wait_for_a_minute(environment)
        time.sleep(2)
        line.cut()
        time.sleep(7)
        line.mend()
    settle(environment, farm, count)
    assert sum("kept for later" in line for line in lines) >= 10
    assert minutes_of(environment) == {FIRST + timedelta(minutes=n): (MINERS, MINERS) for n in range(count + 1)}
