"""Real processes that freeze, die and race for a lock, and two schedulers that both tick."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from events.models import PeriodicRun, SchedulerLock
from minefarm.lib.clock import database_now
from tests.farm import ROOT, database_url

pytestmark = [pytest.mark.storm, pytest.mark.django_db(transaction=True)]
TTL_S = 1.0
ROUNDS = 6


def environment() -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "DJANGO_SETTINGS_MODULE": "minefarm.settings",
    }


@contextmanager
def process(*command: str, **options) -> Iterator["subprocess.Popen[str]"]:
    started = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, start_new_session=True, **options)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def player(*arguments: str, **options):
    return process(sys.executable, "-m", "tests.events.lock_player", *arguments, **options)


@pytest.fixture
def storm_tables():
    tables = {
        "storm_writes": "id bigserial, version integer NOT NULL, process integer NOT NULL DEFAULT pg_backend_pid()",
        "storm_effects": "due_at timestamptz NOT NULL",
        "storm_ticks": "at timestamptz NOT NULL DEFAULT clock_timestamp()",
    }
    with connection.cursor() as cursor:
        for name, columns in tables.items():
            cursor.execute(f"CREATE TABLE {name} ({columns})")
        yield
        for name in tables:
            cursor.execute(f"DROP TABLE {name}")


def fetch(query: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def wait_for(condition, seconds: float):
    until = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.02)
    return result


def holder(others: set[int] = frozenset()) -> SchedulerLock | None:
    """Who holds the lock, has written under it, and is none of `others`."""
    lock = SchedulerLock.objects.filter(expires_at__gt=database_now()).exclude(process_id__in=others).first()
    return lock if lock and fetch(f"SELECT 1 FROM storm_writes WHERE version = {lock.lock_version} LIMIT 1") else None


def stale_writes() -> int:
    """Rows written under a version after a row of a higher one."""
    stale, highest = 0, 0
    for (version,) in fetch("SELECT version FROM storm_writes ORDER BY id"):
        stale += version < highest
        highest = max(highest, version)
    return stale


@pytest.mark.parametrize("guard", ["none", "fence", "lease"])
def test_a_holder_that_was_frozen_writes_nothing_once_another_one_has(guard, storm_tables):
    with player("write", guard, str(TTL_S)), player("write", guard, str(TTL_S)):
        took = []
        for _ in range(ROUNDS):
            frozen = wait_for(holder, 60).process_id
            os.kill(frozen, signal.SIGSTOP)
            since = time.monotonic()
            try:
                wait_for(lambda frozen=frozen: holder({frozen}), 10)
                took.append(time.monotonic() - since)
            finally:
                os.kill(frozen, signal.SIGCONT)
            time.sleep(0.4)
    stale = stale_writes()
    print(f"{guard}: {stale} stale writes in {ROUNDS} rounds, taken over after {min(took):.1f} to {max(took):.1f} s")
    if guard == "none":
        assert stale > 0
    else:
        assert stale == 0
    assert max(took) < 5 + TTL_S + 1.5  # five seconds when frozen inside the guarded transaction


def test_a_killed_holder_is_followed_within_its_lease_and_a_second(storm_tables):
    ttl_s, took = 2.0, []
    with ExitStack() as alive:
        for _ in range(2):
            alive.enter_context(player("write", "lease", str(ttl_s)))
        for _ in range(4):
            killed = wait_for(holder, 60).process_id
            os.kill(killed, signal.SIGKILL)
            since = time.monotonic()
            wait_for(lambda killed=killed: holder({killed}), ttl_s + 5)
            took.append(time.monotonic() - since)
            alive.enter_context(player("write", "lease", str(ttl_s)))
    print(f"taken over after {min(took):.2f} to {max(took):.2f} s of a lease of {ttl_s} s")
    assert max(took) <= ttl_s + 1
    assert stale_writes() == 0


def test_of_thirty_processes_exactly_one_wins_each_of_two_hundred_times():
    with player("race", "30", "200", stdout=subprocess.PIPE) as mother:
        output, _ = mother.communicate(timeout=90)
    rounds = json.loads(output)
    assert [len(winners) for winners in rounds] == [1] * 200
    versions = [winners[0] for winners in rounds]
    assert versions == list(range(1, 201))  # strictly rising, and nobody took it in between


def test_two_schedulers_tick_and_every_period_runs_once(storm_tables, tmp_path):
    celery = (str(Path(sys.executable).parent / "celery"), "-A", "tests.events.ticking")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        process(*celery, "worker", "-Q", "default", "-c", "2", "--without-gossip", "--without-mingle", **quiet),
        process(*celery, "beat", "--pidfile=", "-s", str(tmp_path / "one"), **quiet),
        process(*celery, "beat", "--pidfile=", "-s", str(tmp_path / "two"), **quiet),
    ):
        wait_for(lambda: len(list(tmp_path.iterdir())) >= 2, 60)  # both have begun
        wait_for(lambda: fetch("SELECT 1 FROM storm_effects LIMIT 1"), 60)
        time.sleep(20)
    effects = Counter(due_at for (due_at,) in fetch("SELECT due_at FROM storm_effects"))
    ((ticks,),) = fetch("SELECT count(*) FROM storm_ticks")
    outcomes = Counter(PeriodicRun.objects.values_list("outcome", flat=True))
    print(f"{ticks} ticks, {len(effects)} periods, {dict(outcomes)}")
    assert len(effects) >= 15
    assert ticks >= 1.5 * len(effects)  # both schedulers did tick
    assert set(effects.values()) == {1}
    done = set(PeriodicRun.objects.filter(outcome="done").values_list("due_at", flat=True))
    assert len(set(effects) ^ done) <= 1  # the run that the end of the test cut off
