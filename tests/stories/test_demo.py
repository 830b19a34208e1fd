"""`make demo ARGS=--check` as a newcomer runs it, in a state folder of its own."""

import json
import os
import socket
import subprocess

import pytest

from tests.farm import MANAGE, ROOT

pytestmark = pytest.mark.storm


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of(folder: str) -> list[str]:
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if folder in line and "pytest" not in line]


def test_the_demo_proves_itself_and_leaves_nothing_behind(tmp_path):
    state = tmp_path / "a state folder"
    environment = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
    port = free_port()
    done = subprocess.run(
        [*MANAGE, "demo", "--check", "--miners", "60", "--port", str(port)],
        env=environment | {"MINEFARM_STATE_DIR": str(state)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert (seen["miners"], seen["stored"], seen["ok"]) == (60, 60, True)
    assert seen["pages"] == {"portal": 200, "admin": 200, "schema": 200, "api": seen["pages"]["api"]}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    for _ in range(100):
        if not processes_of(str(state)):
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert processes_of(str(state)) == []


def test_a_taken_port_is_told_before_anything_starts(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*MANAGE, "demo", "--port", str(port)],
            env=environment | {"MINEFARM_STATE_DIR": str(tmp_path / "state")},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"try `make demo PORT={port + 1}`" in done.stderr
