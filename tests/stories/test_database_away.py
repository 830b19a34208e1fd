"""PostgreSQL comes and goes; minutes do not."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from events.models import SchedulerLock
from hosting.models import MinerLatest, Telemetry, TelemetryGap, TelemetrySweep
from hosting.telemetry.backlog import memory, spool
from hosting.telemetry.collector import Sweep, collect, lock_key, sweep_site
from hosting.telemetry.loop import Loop
from hosting.telemetry.spool import Gap
from hosting.telemetry.targets import PolledMiner, minutes_between_attempts, polled_miners
from minefarm.lib.clock import database_minute, database_now
from tests.farm import database_url, network, run_manage, simulated_fleet

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = "postgres://minefarm:wrong@127.0.0.1:9/minefarm"


@pytest.fixture
def farm(site, catalogue, monkeypatch):
    """Thirty simulated machines in the test's site."""
    monkeypatch.setenv("DATABASE_URL", database_url())
    with simulated_fleet(30, network(40), "--register", site.name, "--seed", "3"):
        yield site


@pytest.fixture
def cut_when_storing():
    """The server drops the connection in the middle of the transaction that stores."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION drop_connection() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';"
            "CREATE TRIGGER drop_connection AFTER INSERT ON telemetry_sweeps EXECUTE FUNCTION drop_connection()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION drop_connection CASCADE")


@pytest.fixture
def storing_works_again(cut_when_storing):
    def mend():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE telemetry_sweeps DISABLE TRIGGER drop_connection")

    return mend


def test_a_minute_that_cannot_be_stored_waits_and_is_stored_by_the_next_sweep(farm, storing_works_again):
    report = collect(farm.pk)
    storing_works_again()
    assert (report.kept, report.stored, report.online) == (True, 0, 30)
    assert len(spool().waiting(farm.pk)) == 1
    assert not Telemetry.objects.exists()
    SchedulerLock.objects.update(expires_at=database_now() - timedelta(seconds=1))  # what the cut may have left held
    later = sweep_site(farm)
    assert later.drained == 1
    assert spool().waiting() == []
    minutes = {report.minute, later.minute}
    assert Telemetry.objects.count() == 30 * len(minutes)
    assert set(TelemetrySweep.objects.values_list("minute", flat=True)) == minutes


def test_reading_goes_on_while_the_database_is_away(farm, tmp_path):
    """As an operator sees it: three calls of the command, the second with no database at all."""
    state = {"MINEFARM_STATE_DIR": str(tmp_path / "host")}
    name = database_url().rpartition("/")[2]
    away = {"DATABASE_URL": f"postgres://minefarm:wrong@127.0.0.1:9/{name}"}
    first = run_manage("collect_telemetry", "--json", DATABASE_URL=database_url(), **state)
    assert json.loads(first.stdout)["stored"] == 30, first.stderr
    blind = run_manage("collect_telemetry", "--json", **away, **state)
    assert blind.returncode == 0, blind.stderr
    document = json.loads(blind.stdout)
    assert (document["stored"], document["kept"], document["online"]) == (0, 30, 30)
    back = run_manage("collect_telemetry", "--json", DATABASE_URL=database_url(), **state)
    assert json.loads(back.stdout)["drained_minutes"] == 1, back.stderr
    sweeps = TelemetrySweep.objects.values_list("minute", "stored")
    assert all(stored == 30 for _, stored in sweeps)
    assert Telemetry.objects.count() == 30 * len(sweeps)


def test_a_host_that_knows_no_site_says_that_the_database_is_away(tmp_path):
    away = run_manage(
        "collect_telemetry", "--json", DATABASE_URL=NOWHERE, MINEFARM_STATE_DIR=str(tmp_path / "new host")
    )
    assert away.returncode == 1
    assert "The database does not answer" in json.loads(away.stdout)["error"]


def test_a_minute_behind_a_stuck_holder_is_read_and_stored_later(farm):
    stuck = SchedulerLock.acquire(lock_key(farm.pk), timeout=60)
    SchedulerLock.objects.update(acquired_at=database_now() - timedelta(minutes=1))
    report = sweep_site(farm)
    assert report.kept
    stuck.release()
    assert sweep_site(farm).drained == 1
    assert all(stored == 30 for stored in TelemetrySweep.objects.values_list("stored", flat=True))


def test_what_a_host_remembers_is_what_the_database_says(farm):
    for _ in range(2):  # the first sweep learns who answers
        sweep_site(farm)
    known, minute = memory().recall(farm.pk)
    assert known == polled_miners(farm)
    assert abs(minute - database_minute()) <= timedelta(minutes=1)


def test_an_older_minute_stored_late_does_not_move_what_is_latest(farm):
    sweep_site(farm)
    minute = database_minute() - timedelta(minutes=7)
    late = Sweep(farm.pk, minute, polled_miners(farm))
    late.keep()
    MinerLatest.objects.update(error=None)
    before = dict(MinerLatest.objects.values_list("miner_id", "seen_at"))
    report = sweep_site(farm)
    assert report.drained == 1
    assert Telemetry.objects.filter(recorded_at=minute).count() == 30
    after = dict(MinerLatest.objects.values_list("miner_id", "seen_at"))
    assert all(after[miner] >= before[miner] for miner in before)


def test_a_lost_minute_is_written_down(farm):
    lost = database_minute() - timedelta(minutes=30)
    spool().note_gap(Gap(farm.pk, lost, "spool full"))
    spool().note_gap(Gap(999_999, lost, "spool full"))  # a site that is gone
    sweep_site(farm)
    assert list(TelemetryGap.objects.values_list("site_id", "minute", "reason")) == [(farm.pk, lost, "spool full")]


def test_a_site_that_was_deleted_is_forgotten(site):
    number = site.pk
    collect(number)
    assert memory().sites() == [number]
    site.delete()
    assert collect(number) is None
    assert memory().sites() == []


@pytest.mark.parametrize(
    ("silent", "minutes"),
    [(timedelta(), 1), (timedelta(minutes=59), 1), (timedelta(hours=1), 5), (timedelta(days=3), 15)],
)
def test_machines_that_are_long_down_are_asked_less_often(silent, minutes):
    assert minutes_between_attempts(silent) == minutes


def test_machines_that_rest_take_turns():
    minute = database_minute()
    machines = [PolledMiner(n, "127.0.0.1", 4028, None, None, None, (None,) * 4, every=5) for n in range(100)]
    asked = [sum(m.is_due(minute + timedelta(minutes=offset)) for m in machines) for offset in range(5)]
    assert asked == [20] * 5


def test_the_loop_sweeps_every_period_and_ends_when_told(farm):
    reports = []
    loop = Loop(sites=None, report=lambda report: (reports.append(report), len(reports) == 2 and loop.stop.set()))
    loop.run(period_s=2)
    assert [report.stored for report in reports] == [30, 30]
