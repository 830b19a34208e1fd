"""The contract that every command keeps."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from hosting.telemetry.partitions import partition_days
from minefarm.lib.command import FarmCommand
from tests.farm import ROOT, database_url, run_manage

OURS = {"minefarm", "crm", "curtailment", "analytics", "hosting", "accounts", "events"}
COMMANDS = sorted((name, app) for name, app in get_commands().items() if app in OURS)


@pytest.mark.parametrize(("name", "app"), COMMANDS)
def test_every_command_explains_itself_with_an_example(name, app):
    command = load_command_class(app, name)
    assert isinstance(command, FarmCommand)
    assert command.example.startswith(name)
    text = command.create_parser("manage.py", name).format_help()
    assert f"manage.py {command.example}" in text
    assert "--json" in text


def test_wrong_usage_exits_2_and_help_needs_no_database():
    names = [name for name, _ in COMMANDS]
    nothing = {"DATABASE_URL": "", "REDIS_URL": "", "MINEFARM_NO_DATABASE": "1"}
    program = [sys.executable, "-m", "tests.usage_of_all", *names]
    done = subprocess.run(
        program, cwd=ROOT, env=os.environ | nothing, capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert {name: (seen["code"], seen["stdout"]) for name, seen in found.items()} == dict.fromkeys(names, (2, ""))
    assert all(f"usage: manage.py {name}" in seen["stderr"] for name, seen in found.items())


def test_poll_miner_refuses_what_is_no_address():
    done = run_manage("poll_miner", "example.com", "--json")
    assert done.returncode == 1
    assert "is no IP address" in json.loads(done.stdout)["error"]
    assert "is no IP address" in done.stderr


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0.1:99999", "is no TCP port"),
        ("10.0.0.1:x", "is no TCP port"),
        ("10.0.0.300", "is no IP address"),
    ],
)
def test_poll_miner_says_what_is_wrong_with_an_address(address, told, capsys):
    with pytest.raises(CommandError, match=told):
        call_command("poll_miner", address, "--json")
    assert told in json.loads(capsys.readouterr().out)["error"]


def test_poll_miner_of_a_silent_device_answers_within_six_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        done = run_manage("poll_miner", f"127.0.0.1:{port}", "--json")
        assert time.monotonic() - started < 6
    document = json.loads(done.stdout)
    assert [*list(document)[:16], list(document)[-1]] == [
        "host",
        "port",
        "online",
        "make",
        "model",
        "firmware",
        "hashrate_ths",
        "hashrate_avg_ths",
        "power_w",
        "power_source",
        "temperature_c",
        "fan_rpm",
        "uptime_s",
        "accepted",
        "rejected",
        "hardware_errors",
        "error",
    ]
    assert (document["host"], document["port"], document["online"], document["error"]) == (
        "127.0.0.1",
        port,
        False,
        "timeout",
    )
    assert done.returncode == 1
    assert all(document[key] is None for key in list(document)[3:-1])


def test_poll_miner_says_refused_where_nothing_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = run_manage("poll_miner", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stdout.strip() == f"127.0.0.1:{port} gives no reading: refused"


@pytest.mark.django_db(transaction=True)
def test_maintain_partitions_prints_what_it_made():
    done = run_manage("maintain_partitions", "--days-ahead", "3", "--json", DATABASE_URL=database_url())
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(document) == {"created", "indexed", "partitions"}
    assert document["partitions"] == len(partition_days()) >= 4


@pytest.mark.django_db(transaction=True)
def test_doctor_names_what_is_wrong_and_the_next_step(miner_a):
    done = run_manage("doctor", "--json", DATABASE_URL=database_url())
    assert done.returncode == 1
    document = json.loads(done.stdout)
    checks = {check["check"]: check for check in document["checks"]}
    assert document["ok"] is False
    assert checks["database"]["ok"] is True
    assert checks["migrations"]["ok"] is True
    assert checks["system checks"]["ok"] is True
    assert checks["workers"] == {
        "check": "workers",
        "ok": False,
        "saw": "none answers",
        "next_step": "Start one: `celery -A minefarm worker -Q default,control,telemetry,outbox`.",
    }
    assert checks["sweeps"]["saw"] == "late at North"


def test_the_simulator_refuses_what_it_cannot_do():
    done = run_manage("simulate_fleet", "--miners", "0", "--json", "--seconds", "1")
    assert done.returncode == 1
    assert "--miners must be from 1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--miners", "5", "--fault", "sleepy=0.1"], "hang"),
        (["--miners", "5", "--fault", "hang"], "hang"),
        (["--miners", "5", "--host", "10.0.0.1"], "127.0.0.0/8"),
    ],
)
def test_the_simulator_names_what_it_cannot_do(arguments, told):
    with pytest.raises(CommandError, match=told):
        call_command("simulate_fleet", *arguments, "--json", "--seconds", "1")


def test_a_database_without_tables_or_without_server_is_told_with_the_next_step():
    empty = run_manage("collect_telemetry", "--json", DATABASE_URL=database_url().rpartition("/")[0] + "/postgres")
    assert (empty.returncode, json.loads(empty.stdout)) == (
        1,
        {"error": "The database lacks tables of this version: run `manage.py migrate`."},
    )
    away = run_manage("collect_telemetry", DATABASE_URL="postgres://farm@127.0.0.1:1/farm")
    assert away.returncode == 1
    assert "The database does not answer" in away.stderr
    assert "Traceback" not in away.stderr
