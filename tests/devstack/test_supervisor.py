import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from minefarm.devstack.paths import CHECKOUT
from minefarm.devstack.supervisor import ChildDied, Supervisor
from tests.devstack.conftest import eventually

# Says when it starts and when it is asked to end, in a diary shared by all.
DIARIST = 'trap \'echo "$0 ends" >> "$1"; kill $!; exit 0\' TERM; echo "$0 starts" >> "$1"; sleep 60 & wait'
DEAF = 'trap "" TERM; echo ready; while :; do sleep 0.1; done'

SUPERVISED_DEMO = """
import sys
from minefarm.devstack.supervisor import Supervisor
with Supervisor() as supervisor:
    supervisor.add("web", ["/bin/sh", "-c", "sleep 300 & echo worker $!; trap '' TERM; wait; sleep 300"], grace_s=0.3)
    supervisor.add("beat", ["/bin/sh", "-c", "echo leader $$; exec sleep 300"])
    supervisor.start_all()
    sys.exit(supervisor.run_until_signal())
"""


def shell(script: str, *arguments: object) -> list[str]:
    return ["/bin/sh", "-c", script, *map(str, arguments)]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids_named(output: str) -> list[int]:
    return [int(line.split()[-1]) for line in output.splitlines() if " | worker " in line or " | leader " in line]


@pytest.fixture
def demo() -> Callable[[], tuple[subprocess.Popen[str], list[int]]]:
    """A supervisor in a process of its own, and the pids of a grandchild and a child of it."""

    def start() -> tuple[subprocess.Popen[str], list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISED_DEMO], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        said = process.stdout.readline() + process.stdout.readline()
        return process, pids_named(said)

    return start


def test_processes_start_in_order_when_ready_and_stop_in_reverse_order(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    with Supervisor(output=io.StringIO()) as supervisor:
        for name in ("broker", "worker", "web"):
            supervisor.add(
                name,
                shell(DIARIST, name, diary),
                ready=lambda seen=name: f"{seen} starts" in diary.read_text(),
            )
        assert supervisor.start_all() is True
    assert diary.read_text().splitlines() == [
        "broker starts",
        "worker starts",
        "web starts",
        "web ends",
        "worker ends",
        "broker ends",
    ]


def test_each_line_carries_the_name_of_its_process() -> None:
    output = io.StringIO()
    with Supervisor(output=output) as supervisor:
        supervisor.add("web", shell("echo one; printf 'two\\r\\n'; sleep 60"))
        supervisor.add("worker", shell('echo "$FARM"; sleep 60'), env={"FARM": "north"})
        supervisor.start_all()
        assert supervisor.wait_for(lambda: output.getvalue().count("\n") == 3, timeout_s=10)
    assert sorted(output.getvalue().splitlines()) == ["web    | one", "web    | two", "worker | north"]


def test_grandchildren_end_with_their_process(tmp_path: Path) -> None:
    output = io.StringIO()
    with Supervisor(output=output) as supervisor:
        # The leader dies at once on SIGTERM and leaves two workers, one of them deaf.
        supervisor.add("pool", shell(f"sleep 300 & echo worker $!; ({DEAF}) & echo worker $!; sleep 300"))
        supervisor.start_all()
        assert supervisor.wait_for(lambda: len(pids_named(output.getvalue())) == 2, timeout_s=10)
        workers = pids_named(output.getvalue())
        assert not any(is_gone(pid) for pid in workers)
        supervisor.stop_all()
        assert eventually(lambda: all(is_gone(pid) for pid in workers), within_s=1)


def test_a_process_deaf_to_sigterm_is_killed_after_its_grace() -> None:
    output = io.StringIO()
    with Supervisor(output=output) as supervisor:
        supervisor.add("deaf", shell(DEAF), ready=lambda: "ready" in output.getvalue(), grace_s=0.5)
        supervisor.start_all()
        started_s = time.monotonic()
        supervisor.stop_all()
        assert 0.5 <= time.monotonic() - started_s < 4


def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_last_lines() -> None:
    with Supervisor(output=io.StringIO()) as supervisor:
        supervisor.add("web", shell("echo port 8000 is taken >&2; exit 3"), ready=lambda: False)
        with pytest.raises(ChildDied, match=r"(?s)web ended before it was ready.*    port 8000 is taken\n"):
            supervisor.start_all()


def test_a_process_that_is_never_ready_is_reported_in_time() -> None:
    with Supervisor(output=io.StringIO()) as supervisor:
        supervisor.add("web", shell("echo still thinking; sleep 60"), ready=lambda: False, ready_timeout_s=0.5)
        with pytest.raises(ChildDied, match=r"(?s)web was not ready within 0 s.*    still thinking\n"):
            supervisor.start_all()


def test_a_command_that_does_not_exist_is_named() -> None:
    with Supervisor(output=io.StringIO()) as supervisor:
        supervisor.add("web", ["/no/such/server"])
        with pytest.raises(ChildDied, match=r"web cannot be started: .*/no/such/server"):
            supervisor.start_all()


def test_a_crashed_process_is_started_again(tmp_path: Path) -> None:
    output = io.StringIO()
    with Supervisor(output=output) as supervisor:
        crashed = tmp_path / "crashed"
        supervisor.add(
            "worker", shell('test -e "$0" && { echo second life; exec sleep 60; }; touch "$0"; exit 9', crashed)
        )
        supervisor.start_all()
        assert supervisor.wait_for(lambda: "second life" in output.getvalue(), timeout_s=10)
    assert output.getvalue().splitlines() == ["worker | ended (exit 9), starting it again", "worker | second life"]


def test_a_process_that_keeps_crashing_ends_the_demo_with_its_last_lines() -> None:
    with Supervisor(output=io.StringIO(), restarts_per_minute=2) as supervisor:
        supervisor.add("worker", shell("echo no such queue; exit 1"))
        supervisor.start_all()
        with pytest.raises(ChildDied, match=r"(?s)worker ended \(exit 1\) more than 2 times a minute.*no such queue"):
            supervisor.run_until_signal()


def test_a_stop_signal_ends_everything_and_is_told_to_the_caller(demo) -> None:
    process, pids = demo()
    assert len(pids) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == signal.SIGTERM
    process.stdout.close()
    assert eventually(lambda: all(is_gone(pid) for pid in pids), within_s=1)


def test_nothing_outlives_a_supervisor_that_was_killed(demo) -> None:
    process, pids = demo()
    assert len(pids) == 2
    process.kill()
    process.communicate()
    assert eventually(lambda: all(is_gone(pid) for pid in pids), within_s=9)


def test_a_signal_during_the_start_stops_it(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def ready_by_interrupting_us() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    before = signal.getsignal(signal.SIGINT)
    with Supervisor(output=io.StringIO()) as supervisor:
        supervisor.add("broker", shell("sleep 60"), ready=ready_by_interrupting_us)
        supervisor.add("web", shell('echo started > "$0"; sleep 60', diary))
        assert supervisor.start_all() is False
        assert supervisor.stopped_by == signal.SIGINT
    assert not diary.exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_flood_of_output_neither_blocks_the_process_nor_loses_a_line() -> None:
    output = io.StringIO()
    with Supervisor(output=output) as supervisor:
        flood = "import json\nfor n in range(20000): print(json.dumps({'line': n}))\nimport time; time.sleep(60)"
        supervisor.add("web", [sys.executable, "-c", flood])
        supervisor.start_all()
        assert supervisor.wait_for(lambda: output.getvalue().count("\n") == 20000, timeout_s=20)
    numbers = [json.loads(line.partition(" | ")[2])["line"] for line in output.getvalue().splitlines()]
    assert numbers == list(range(20000))
