"""What a queue can be trusted with: ticks that expire, tasks that end in time, and no future kept in a broker."""

import ast
import itertools
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from events import periods
from events.periods import CatchUp, period_start, register
from minefarm.celery import app
from minefarm.schedule import JOBS

ROOT = Path(__file__).parent.parent.parent
APPS = ("minefarm", "accounts", "events", "hosting", "analytics", "curtailment", "crm")
FUTURE_MAX_S = 60


@pytest.fixture(scope="module", autouse=True)
def tasks():
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if name.startswith(APPS)}


def shortest_period(schedule) -> float:
    """Seconds between two dues, looked at over a week."""
    if isinstance(schedule, timedelta):
        return schedule.total_seconds()
    at, found = datetime(2026, 3, 8, 12, tzinfo=UTC), []
    for _ in range(100):
        due = period_start(schedule, at)
        found.append(due)
        at = due - timedelta(microseconds=1)
    return min((later - earlier).total_seconds() for later, earlier in itertools.pairwise(found))


def test_settings_are_those_that_the_laboratory_asked_for():
    conf = app.conf
    assert conf.broker_transport_options["visibility_timeout"] == 3600
    assert conf.task_acks_late is False
    assert conf.task_reject_on_worker_lost is True
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is True
    assert conf.worker_prefetch_multiplier == 1
    assert (conf.worker_max_tasks_per_child, conf.worker_max_memory_per_child) == (500, 400_000)
    assert (conf.worker_soft_shutdown_timeout, conf.worker_enable_soft_shutdown_on_idle) == (30, True)
    assert (conf.task_ignore_result, conf.task_serializer, conf.accept_content) == (True, "json", ["json"])
    assert conf.broker_connection_timeout == 3
    assert conf.task_publish_retry_policy == {"max_retries": 2, "interval_max": 0.5}
    assert conf.task_create_missing_queues is False


def test_every_task_ends_long_before_it_would_be_handed_out_again(tasks):
    limit = app.conf.broker_transport_options["visibility_timeout"] / 4
    assert "hosting.tasks.sweep_site" in tasks
    for name, task in tasks.items():
        hard = task.time_limit or app.conf.task_time_limit
        soft = task.soft_time_limit or app.conf.task_soft_time_limit
        assert 0 < soft < hard <= limit, name


def test_a_task_is_acknowledged_late_only_when_it_says_that_twice_is_harmless(tasks):
    assert {name for name, task in tasks.items() if task.acks_late and not getattr(task, "idempotent", False)} == set()


def test_a_retry_of_celery_stays_within_the_minute(tasks):
    for name, task in tasks.items():
        if getattr(task, "autoretry_for", ()):
            backoff = getattr(task, "retry_backoff", False)
            wait = getattr(task, "retry_backoff_max", 600) if backoff else task.default_retry_delay
            assert wait <= FUTURE_MAX_S, name


@pytest.mark.parametrize("name", JOBS)
def test_a_tick_expires_before_the_next_one(name):
    entry = JOBS[name]
    assert 0 < entry["options"]["expires"] < shortest_period(entry["schedule"])


@pytest.mark.parametrize("name", JOBS)
def test_an_entry_says_what_becomes_of_missed_periods_and_its_task_runs_once(name, tasks):
    entry = JOBS[name]
    task = tasks[entry["task"]]
    assert isinstance(entry["catch_up"], CatchUp)
    if entry.get("every_tick"):
        assert len(entry["every_tick"]) > 20  # a reason, not a word
        assert entry["catch_up"] == CatchUp.none()
    else:
        assert getattr(task.run, "once_per_period", False), f"{entry['task']} lacks @once_per_period"
        assert shortest_period(entry["schedule"]) >= 60, "shorter periods would fill periodic_runs: say every_tick"


@pytest.mark.parametrize("name", JOBS)
def test_an_entry_goes_to_a_queue_that_is_known(name):
    route = app.amqp.router.route({}, JOBS[name]["task"])
    assert getattr(route["queue"], "name", route["queue"]) in app.conf.task_queues


def test_beat_gets_what_it_knows_and_every_tick_is_marked():
    for entry in app.conf.beat_schedule.values():
        assert set(entry) <= {"task", "schedule", "options", "args", "kwargs", "relative"}
        assert entry["options"]["headers"] == {"beat_tick": True}


def test_celery_reads_the_schedule_before_django_is_set_up():
    done = subprocess.run(
        [sys.executable, "-c", "import minefarm.celery"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_schedule_without_a_rule_or_with_a_task_twice_is_refused(monkeypatch):
    monkeypatch.setattr(periods, "_jobs", {})
    entry = {"task": "farm.tasks.feed", "schedule": timedelta(minutes=1)}
    with pytest.raises(ValueError, match=r'"feed" needs a rule "catch_up"'):
        register({"feed": entry})
    entry["catch_up"] = CatchUp.none()
    with pytest.raises(ValueError, match="twice"):
        register({"feed": entry, "feed again": entry})


def futures(source: str) -> list[str]:
    """Calls in the source that leave more than a minute to the broker, or that nobody can tell of by reading."""
    found = []
    for node in ast.walk(ast.parse(source)):
        pairs = []
        if isinstance(node, ast.Call):
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
            if isinstance(node.func, ast.Attribute) and node.func.attr == "retry":
                celerys = isinstance(node.func.value, ast.Name) and node.func.value.id in ("self", "task")
                if celerys and "countdown" not in dict(pairs):
                    found.append(f"line {node.lineno}: retry() without countdown waits three minutes")
        elif isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            pairs = list(zip(keys, node.values, strict=True))
        for name, value in pairs:
            if name == "eta" and not (isinstance(value, ast.Constant) and value.value is None):
                found.append(f"line {node.lineno}: eta")
            if name == "countdown" and not (
                isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value <= FUTURE_MAX_S
            ):
                found.append(f"line {node.lineno}: countdown")
    return found


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("task.apply_async((1,), countdown=60)", 0),
        ("task.apply_async((1,), countdown=61)", 1),
        ("task.apply_async((1,), countdown=delay)", 1),
        ("task.apply_async((1,), eta=now)", 1),
        ("options = {'countdown': 600}", 1),
        ("self.retry()", 1),
        ("self.retry(countdown=5)", 0),
    ],
)
def test_the_reader_of_futures_sees_them(source, problems):
    assert len(futures(source)) == problems


def test_the_future_lives_in_rows_and_not_in_the_broker():
    paths = [path for name in APPS for path in (ROOT / name).rglob("*.py")]
    assert len(paths) > 100
    told = {str(path.relative_to(ROOT)): problems for path in paths if (problems := futures(path.read_text()))}
    assert told == {}
