"""Beat's jobs: one run for each period whatever the number of schedulers, and what becomes of periods that nobody ran."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab
from django.db import connection

from events.locks import held
from events.models import PeriodicRun, RunOutcome, SchedulerLock
from events.models.runs import LOST
from events.periodic import run_due
from events.periods import CatchUp, Job, period_of, period_start
from events.tasks import prune_job_runs
from minefarm.lib.clock import database_now
from tests.farm import database_url, run_manage

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)  # a Tuesday
HOURLY = crontab(minute="17")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs() -> list[tuple[str, str]]:
    return [(f"{run.due_at:%d %H:%M}", run.outcome) for run in PeriodicRun.objects.order_by("due_at")]


@pytest.mark.parametrize(
    ("schedule", "now", "due"),
    [
        (crontab(), "2026-03-10 12:00:59.9", "2026-03-10 12:00"),
        (HOURLY, "2026-03-10 12:16:59", "2026-03-10 11:17"),
        (HOURLY, "2026-03-10 12:17:00", "2026-03-10 12:17"),
        (crontab(minute="30", hour="3"), "2026-03-10 02:00", "2026-03-09 03:30"),
        (crontab(minute="0", hour="6", day_of_week="sun"), "2026-03-10 12:00", "2026-03-08 06:00"),
        (crontab(minute="0", hour="6", day_of_week="sun"), "2026-03-08 05:59", "2026-03-01 06:00"),
        (crontab(minute="5", hour="0", day_of_month="1"), "2026-01-01 00:04", "2025-12-01 00:05"),
        (crontab(minute="0", hour="0", day_of_month="29", month_of_year="2"), "2027-01-01 00:00", "2024-02-29 00:00"),
        (crontab(minute="*/15", hour="8-17"), "2026-03-10 18:20", "2026-03-10 17:45"),
        (timedelta(seconds=5), "2026-03-10 12:00:09.99", "2026-03-10 12:00:05"),
        (timedelta(minutes=5), "2026-03-10 12:04:59", "2026-03-10 12:00"),
        (timedelta(weeks=1), "2026-03-10 12:00", "2026-03-09 00:00"),
    ],
)
def test_a_period_begins_when_the_schedule_was_last_due(schedule, now, due):
    assert period_start(schedule, at(now)) == at(due)


def test_a_tick_of_a_clock_slightly_ahead_belongs_to_the_period_that_begins():
    minute = Job("farm.tasks.feed", crontab(), CatchUp.none())
    assert period_of(minute, at("2026-03-10 11:59:59.5")) == NOON
    assert period_of(minute, at("2026-03-10 11:59:57")) == at("2026-03-10 11:59")
    short = Job("farm.tasks.feed", timedelta(seconds=5), CatchUp.none())
    assert period_of(short, at("2026-03-10 11:59:59.6")) == NOON
    assert period_of(short, at("2026-03-10 11:59:59.4")) == at("2026-03-10 11:59:55")


@pytest.mark.django_db(transaction=True)
class TestRunning:
    def test_a_period_runs_once_and_its_outcome_is_written_down(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.none())
        assert [run_due(job, lambda run: run.due_at.hour, NOON) for _ in range(3)] == [11, None, None]
        (run,) = PeriodicRun.objects.all()
        assert (run.task, run.due_at, run.outcome, run.error) == (job.task, at("2026-03-10 11:17"), "done", "")
        assert timedelta() <= run.duration < timedelta(seconds=5)
        assert SchedulerLock.objects.get().lock_key == "job:farm.tasks.feed"
        assert SchedulerLock.objects.get().expires_at < database_now()

    def test_eight_schedulers_at_once_start_it_once(self):
        job = Job("farm.tasks.feed", timedelta(seconds=5), CatchUp.none())
        ran, barrier = [], threading.Barrier(8)

        def scheduler() -> None:
            try:
                for tick in range(6):
                    barrier.wait()
                    run_due(job, lambda run: ran.append(run.due_at), NOON + timedelta(seconds=5 * tick))
            finally:
                connection.close()

        threads = [threading.Thread(target=scheduler) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ran) == [NOON + timedelta(seconds=5 * tick) for tick in range(6)]
        assert {outcome for _, outcome in runs()} == {"done"}

    def test_a_failure_is_recorded_and_is_celerys_as_well(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.latest())
        with pytest.raises(ZeroDivisionError):
            run_due(job, lambda _: 1 / 0, NOON)
        (run,) = PeriodicRun.objects.all()
        assert (run.outcome, run.error) == ("failed", "ZeroDivisionError: division by zero")
        assert run.finished_at is not None
        assert run_due(job, lambda _: "again", NOON) is None

    def test_a_period_is_skipped_while_the_one_before_is_busy(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.none())
        with held("job:farm.tasks.feed"):
            assert run_due(job, lambda _: "ran", NOON) is None
        (run,) = PeriodicRun.objects.all()
        assert (run.outcome, run.error) == ("skipped", "the run before was still busy")

    def test_a_run_whose_process_died_is_shown_as_lost_by_the_next_one(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.latest())
        PeriodicRun.objects.claim(job.task, at("2026-03-10 10:17"), hostname="gone")
        assert run_due(job, lambda _: "ran", NOON) == "ran"
        assert runs() == [("10 10:17", "failed"), ("10 11:17", "done")]
        lost = PeriodicRun.objects.get(outcome=RunOutcome.FAILED)
        assert (lost.error, lost.duration) == (LOST, None)

    def test_none_leaves_missed_periods_and_skips_what_comes_too_late(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.none(unless_within=timedelta(minutes=30)))
        assert run_due(job, lambda _: "ran", at("2026-03-10 05:20")) == "ran"
        assert run_due(job, lambda _: "ran", NOON) is None
        assert runs() == [("10 05:17", "done"), ("10 11:17", "skipped")]

    def test_recompute_covers_all_that_was_missed_in_one_run_within_its_limit(self):
        job = Job("farm.tasks.feed", HOURLY, CatchUp.recompute(timedelta(hours=24)))
        since = []
        for now in ("2026-03-10 05:20", "2026-03-10 12:00", "2026-03-13 12:00"):
            run_due(job, lambda run: since.append((run.since, run.due_at)), at(now))
        assert since == [
            (at("2026-03-10 04:17"), at("2026-03-10 05:17")),
            (at("2026-03-10 05:17"), at("2026-03-10 11:17")),
            (at("2026-03-12 11:17"), at("2026-03-13 11:17")),
        ]

    def test_each_makes_up_missed_failed_and_lost_periods_oldest_first(self):
        job = Job("farm.tasks.bill", crontab(minute="0", hour="3"), CatchUp.each(timedelta(days=7)))
        ran = []

        def bill(run) -> None:
            ran.append(run.due_at.day)
            if run.due_at.day == 12 and ran.count(12) == 1:
                raise RuntimeError("no price yet")

        run_due(job, bill, at("2026-03-10 03:00"))
        PeriodicRun.objects.claim(job.task, at("2026-03-11 03:00"), hostname="gone")
        with pytest.raises(RuntimeError):
            run_due(job, bill, at("2026-03-12 03:00"))
        assert ran == [10, 12]
        run_due(job, bill, at("2026-03-15 03:00"))
        assert ran == [10, 12, 11, 12, 13, 14, 15]
        assert {outcome for _, outcome in runs()} == {"done"}
        run_due(job, bill, at("2026-03-30 03:00"))
        assert ran[7:] == [23, 24, 25, 26, 27, 28, 29, 30]

    def test_the_first_run_ever_has_missed_nothing(self):
        job = Job("farm.tasks.bill", crontab(minute="0", hour="3"), CatchUp.each(timedelta(days=7)))
        run_due(job, lambda _: None, NOON)
        assert runs() == [("10 03:00", "done")]

    def test_records_older_than_a_month_are_forgotten(self):
        now = database_now()
        for days in (29, 31):
            PeriodicRun.objects.claim("farm.tasks.feed", now - timedelta(days=days), hostname="here")
        assert prune_job_runs() == 1  # by hand: no record of this run either
        assert PeriodicRun.objects.get().due_at == now - timedelta(days=29)


@pytest.mark.django_db(transaction=True)
def test_scheduler_locks_shows_who_holds_what_and_bump_shuts_them_out():
    old = SchedulerLock.acquire("telemetry:site:1")
    SchedulerLock.acquire("job:farm.tasks.feed").release()
    done = run_manage("scheduler_locks", "--json", DATABASE_URL=database_url())
    document = json.loads(done.stdout)
    assert [(lock["lock_key"], lock["held"], lock["version"]) for lock in document["locks"]] == [
        ("job:farm.tasks.feed", False, 1),
        ("telemetry:site:1", True, 1),
    ]
    assert document["locks"][1]["holder"] == str(old.holder)
    done = run_manage("scheduler_locks", "--bump", DATABASE_URL=database_url())
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 locks freed" in done.stdout
    assert "telemetry:site:1     free  v1000001" in done.stdout
    assert old.refresh_heartbeat() is False
    assert SchedulerLock.acquire("telemetry:site:1").lock_version == 1_000_002
