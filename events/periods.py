"""The lines of the schedule and their periods: when a job is due, and what becomes of periods that nobody ran.

Celery reads the schedule before Django is set up, so nothing here may import a model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from celery.schedules import crontab

# Beat's clock may be a little ahead of the database's: a tick this early belongs to the period that is about to begin.
EARLY_S = 2.0
EPOCH = datetime(2000, 1, 3, tzinfo=UTC)  # a Monday: weekly intervals begin on Mondays


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What becomes of periods that nobody ran. Make one with a constructor below, which says what it means."""

    rule: str
    limit: timedelta | None = None

    @classmethod
    def none(cls, *, unless_within: timedelta | None = None) -> "CatchUp":
        """A missed period stays missed; a tick that comes later in its period than `unless_within` is skipped as well."""
        return cls("none", unless_within)

    @classmethod
    def latest(cls) -> "CatchUp":
        """The present period is run however late; earlier ones are not."""
        return cls("latest")

    @classmethod
    def recompute(cls, limit: timedelta) -> "CatchUp":
        """One run covers everything since the last one that was done, `limit` at most: see Run.since."""
        return cls("recompute", limit)

    @classmethod
    def each(cls, limit: timedelta) -> "CatchUp":
        """Every period that was missed, failed or lost within `limit` gets a run of its own, oldest first."""
        return cls("each", limit)


@dataclass(frozen=True, slots=True)
class Job:
    """A line of the schedule. `every_tick`: why its ticks are not recorded, for level-triggered passes every few seconds."""

    task: str
    schedule: crontab | timedelta
    catch_up: CatchUp
    every_tick: str = ""


_jobs: dict[str, Job] = {}


def register(schedule: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Learn the jobs of the schedule; return it as Celery takes it, each tick marked as one.

    Raises ValueError for an entry without a catch-up rule and for a task that stands there twice.
    """
    _jobs.clear()
    beat: dict[str, dict[str, Any]] = {}
    for name, entry in schedule.items():
        if "catch_up" not in entry:
            raise ValueError(f'the schedule\'s entry "{name}" needs a rule "catch_up": CatchUp.none(), latest(), ...')
        if entry["task"] in _jobs:
            raise ValueError(f"the task {entry['task']} stands in the schedule twice: its periods would be mixed up")
        _jobs[entry["task"]] = Job(entry["task"], entry["schedule"], entry["catch_up"], entry.get("every_tick", ""))
        beat[name] = {key: value for key, value in entry.items() if key not in ("catch_up", "every_tick")}
        beat[name]["options"] = {**entry.get("options", {}), "headers": {"beat_tick": True}}
    return beat


def period_start(schedule: crontab | timedelta, now: datetime) -> datetime:
    """The latest moment, not after `now`, at which the schedule was due; in UTC."""
    now = now.astimezone(UTC)
    if isinstance(schedule, timedelta):
        return now - (now - EPOCH) % schedule
    at = cast("Any", schedule)  # its sets are missing in the type stubs
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    latest = (now.hour, now.minute)
    for _ in range(8 * 366):  # 29 February may be eight years away
        if day.month in at.month_of_year and day.day in at.day_of_month and day.isoweekday() % 7 in at.day_of_week:
            times = [(hour, minute) for hour in at.hour for minute in at.minute if (hour, minute) <= latest]
            if times:
                hour, minute = max(times)
                return day.replace(hour=hour, minute=minute)
        day, latest = day - timedelta(days=1), (23, 59)
    raise ValueError(f"{schedule} is never due: correct the entry in minefarm/schedule.py")


def period_of(job: Job, now: datetime) -> datetime:
    """The period that a tick arriving at `now` belongs to."""
    begun = period_start(job.schedule, now)
    if isinstance(job.schedule, timedelta):
        return period_start(job.schedule, now + min(timedelta(seconds=EARLY_S), job.schedule / 10))
    return max(begun, period_start(job.schedule, now + timedelta(seconds=EARLY_S)))


def periods_before(job: Job, due_at: datetime, *, limit: timedelta) -> Iterator[datetime]:
    """The job's earlier periods within `limit`, newest first."""
    begun = due_at
    while True:
        begun = period_start(job.schedule, begun - timedelta(microseconds=1))
        if due_at - begun > limit:
            return
        yield begun


def job_of(task: str) -> Job | None:
    """The schedule's line for the task of this name."""
    return _jobs.get(task)
