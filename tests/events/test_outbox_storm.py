"""Four writers, three dispatchers, a random one killed every half second: nothing is lost, invented or out of order.

The effects are judged where they arrive: lines in a file, written outside any transaction, and rows written inside.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection

from events.claims import BATCH
from events.models import OutboxEvent
from tests.farm import ROOT, database_url

pytestmark = [pytest.mark.storm, pytest.mark.django_db(transaction=True)]

DISPATCHERS, WRITERS = 3, 4
STORM_S, KILL_EVERY_S, LEASE_S = 15.0, 0.5, 2
ATTEMPTS = 10


class Crew:
    """The dispatchers and writers at work, forked by a process that has loaded Django once."""

    def __init__(self, environment) -> None:
        self.nursery = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("dispatcher.py"))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.dispatchers = [self.ask("dispatch") for _ in range(DISPATCHERS)]
        self.writers = [self.ask(f"write {number}") for number in range(WRITERS)]

    def ask(self, command: str) -> int:
        self.nursery.stdin.write(command + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    def kill_one(self, chance: random.Random) -> None:
        victim = self.dispatchers.pop(chance.randrange(DISPATCHERS))
        os.kill(victim, signal.SIGKILL)
        assert self.ask(f"wait {victim}") == -signal.SIGKILL
        self.dispatchers.append(self.ask("dispatch"))

    def stop(self, pids: list[int]) -> list[int]:
        """Exit codes of processes that are asked to end."""
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        codes = [self.ask(f"wait {pid}") for pid in pids]
        pids.clear()
        return codes

    def end(self) -> None:
        for pid in self.dispatchers + self.writers:
            os.kill(pid, signal.SIGKILL)
        self.nursery.communicate(timeout=20)


def wait_until_all_went_out(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while OutboxEvent.objects.filter(status="pending").exists():
        assert time.monotonic() < deadline, Counter(OutboxEvent.objects.values_list("status", flat=True))
        time.sleep(0.2)


def test_kills_lose_nothing_invent_nothing_and_keep_the_order(tmp_path):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE storm_effects (event_uuid uuid PRIMARY KEY, times int NOT NULL)")
    try:
        storm(tmp_path / "effects")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE storm_effects")


def storm(effects: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "EFFECTS": str(effects),
        "OUTBOX_LEASE_S": str(LEASE_S),
        "OUTBOX_MAX_ATTEMPTS": str(ATTEMPTS),
        "OUTBOX_BACKOFF_S": "0.1,0.2,0.4",
        "LOG_LEVEL": "CRITICAL",
    }
    crew = Crew(environment)
    chance = random.Random(8)
    kills = 0
    try:
        started = time.monotonic()
        while time.monotonic() - started < STORM_S:
            time.sleep(KILL_EVERY_S)
            crew.kill_one(chance)
            kills += 1
        assert crew.stop(crew.writers) == [0] * WRITERS
        wait_until_all_went_out(90)
        assert crew.stop(crew.dispatchers) == [0] * DISPATCHERS
    finally:
        crew.end()
    judge(effects, kills)


def judge(effects: Path, kills: int) -> None:
    lines = [json.loads(line) for line in effects.read_text().splitlines()]
    seen = Counter(uuid for uuid, *_ in lines)
    good = {
        str(uuid)
        for uuid, message in OutboxEvent.objects.values_list("event_uuid", "payload__message")
        if "good" in message
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT event_uuid, times FROM storm_effects")
        inside = {str(uuid): times for uuid, times in cursor.fetchall()}
    poison = OutboxEvent.objects.filter(aggregate_key__startswith="poisoned:")
    first: dict[str, list[int]] = {}
    known = set()
    for uuid, key, sequence, _ in lines:
        if uuid not in known:
            first.setdefault(key, []).append(sequence)
            known.add(uuid)
    duplicates = sum(seen.values()) - len(seen)
    told = {
        "events": len(good),
        "poison": poison.count(),
        "kills": kills,
        "lost": len(good - seen.keys()),
        "ghosts": len(seen.keys() - good),
        "out of order": sum(sequences != sorted(sequences) for sequences in first.values()),
        "duplicates outside": duplicates,
        "applied twice inside": sum(times != 1 for times in inside.values()),
        "gaps": sum(sequences != list(range(1, len(sequences) + 1)) for sequences in map(sorted, first.values())),
    }
    print(told)
    assert kills >= 20
    assert len(good) > 300
    assert poison.count() > 0
    # A dispatcher that is killed before it writes down what came of the last attempt costs one more.
    assert set(poison.values_list("status", flat=True)) == {"failed"}
    attempts = list(poison.values_list("attempts", flat=True))
    assert min(attempts) >= ATTEMPTS
    assert sum(attempts) - ATTEMPTS * len(attempts) <= kills
    assert (told["lost"], told["ghosts"], told["out of order"], told["gaps"]) == (0, 0, 0, 0)
    assert inside.keys() == good
    assert told["applied twice inside"] == 0
    assert duplicates <= kills * BATCH
    assert duplicates <= kills  # handlers run one at a time: only the one in hand can repeat
