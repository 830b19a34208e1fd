"""Beat's jobs run once per period, whatever the number of schedulers.

The schedule's one screen (minefarm/schedule.py) says when each job is due and what becomes of periods that were missed
(events/periods.py). A task of that screen wears `once_per_period` below `shared_task`.
"""

import inspect
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast, overload

from celery import current_task

from events.locks import DATABASE_AWAY, Lease, LockBusy, held
from events.models import PeriodicRun, RunOutcome
from events.periods import Job, job_of, period_of, period_start, periods_before
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

LOCK_TTL_S = 30.0
Task = TypeVar("Task", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Run:
    """What a task with a parameter `run` is given: its period [`since`, `due_at`), and the lease for `transaction()`."""

    due_at: datetime
    since: datetime
    lease: Lease


@overload
def once_per_period(task: Task) -> Task: ...
@overload
def once_per_period(*, without_database: bool = False) -> Callable[[Task], Task]: ...
def once_per_period(task: Any = None, *, without_database: bool = False) -> Any:
    """Let beat's ticks run the task once per period, under the lock `job:<task>`, with the outcome in periodic_runs.

    Called by hand (`.delay()` or directly) the task runs at once and leaves no record. A parameter `run` receives a Run.
    `without_database`: the tick runs unrecorded while the database is away, for tasks that have a plan for that.
    """

    def wrap(function: Task) -> Task:
        wants_run = "run" in inspect.signature(function).parameters
        name = f"{function.__module__}.{function.__name__}"

        @wraps(function)
        def tick(*args: Any, **kwargs: Any) -> Any:
            job = job_of(name)
            if job is None or job.every_tick or not _is_tick():
                return function(*args, **kwargs)

            def work(run: Run) -> Any:
                return function(*args, **kwargs, **({"run": run} if wants_run else {}))

            try:
                now = database_now()
            except DATABASE_AWAY:
                if not without_database:
                    raise
                return function(*args, **kwargs)
            return run_due(job, work, now)

        tick.once_per_period = True  # type: ignore[attr-defined]
        return cast("Task", tick)

    return wrap if task is None else wrap(task)


def _is_tick() -> bool:
    request = getattr(current_task, "request", None)
    return bool(request and not request.called_directly and request.get("beat_tick"))


def run_due(job: Job, work: Callable[[Run], Any], now: datetime) -> Any:
    """Run the period of `now`, after those before it that the job's rule wants made up. Returns what the last run gave."""
    due_at = period_of(job, now)
    rule = job.catch_up
    if rule.rule == "each" and rule.limit is not None:
        for missed in _missed(job, due_at, rule.limit):
            with suppress(Exception):  # recorded and logged; the present period is not its hostage
                _run_one(job, work, missed, failed_too=True)
    too_late = rule.rule == "none" and rule.limit is not None and now - due_at > rule.limit
    return _run_one(job, work, due_at, skip="the tick came too late" if too_late else "")


def _missed(job: Job, due_at: datetime, limit: timedelta) -> list[datetime]:
    """Earlier periods without a good run, oldest first; nothing before the job's first run counts as missed."""
    runs = PeriodicRun.objects.filter(task=job.task, due_at__gte=due_at - limit, due_at__lt=due_at)
    first = PeriodicRun.objects.filter(task=job.task).order_by("due_at").values_list("due_at", flat=True).first()
    if first is None:
        return []
    good = set(
        runs.exclude(outcome=RunOutcome.FAILED).exclude(outcome=RunOutcome.RUNNING).values_list("due_at", flat=True)
    )
    return sorted(at for at in periods_before(job, due_at, limit=limit) if at >= first and at not in good)


def _run_one(
    job: Job, work: Callable[[Run], Any], due_at: datetime, *, failed_too: bool = False, skip: str = ""
) -> Any:
    runs = PeriodicRun.objects
    run_id = runs.claim(job.task, due_at, hostname=socket.gethostname(), failed_too=failed_too)
    if run_id is None:
        return None
    if skip:
        runs.finish(run_id, RunOutcome.SKIPPED, skip)
        return None
    try:
        with held(f"job:{job.task}", ttl_s=LOCK_TTL_S) as lease:
            if not runs.begin(run_id, job.task):
                return None
            return _recorded(run_id, job, work, Run(due_at, _since(job, due_at), lease))
    except LockBusy:
        runs.finish(run_id, RunOutcome.SKIPPED, "the run before was still busy")
        log.warning("%s of %s is skipped: the run before is still busy", job.task, due_at.isoformat())
        return None


def _recorded(run_id: int, job: Job, work: Callable[[Run], Any], run: Run) -> Any:
    try:
        result = work(run)
    except Exception as error:
        log.exception("%s of %s failed", job.task, run.due_at.isoformat())
        with suppress(*DATABASE_AWAY):
            PeriodicRun.objects.finish(run_id, RunOutcome.FAILED, f"{type(error).__name__}: {error}")
        raise
    PeriodicRun.objects.finish(run_id, RunOutcome.DONE)
    return result


def _since(job: Job, due_at: datetime) -> datetime:
    before = period_start(job.schedule, due_at - timedelta(microseconds=1))
    if job.catch_up.rule != "recompute" or job.catch_up.limit is None:
        return before
    done = PeriodicRun.objects.last_done(job.task)
    return min(before, max(done, due_at - job.catch_up.limit)) if done else before
