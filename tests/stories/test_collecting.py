"""The main job, end to end: real TCP to simulated machines, real PostgreSQL."""

import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db import connection

from events.models import SchedulerLock
from hosting.cgminer.simulator import build_farm
from hosting.models import Miner, MinerIdentity, MinerLatest, Site, SiteBucket, Telemetry, TelemetrySweep
from hosting.simulation import register_simulated
from hosting.telemetry.collector import LOCK_TTL_S, SweepBusy, sweep_site
from minefarm.lib.clock import database_now
from tests.farm import MANAGE, ROOT, database_url, network, run_manage, simulated_fleet

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def farm_of(site, catalogue):
    """Start machines in a process of their own and put them into the site."""
    with ExitStack() as running:

        def start(miners: int, number: int, *arguments: str) -> list[object]:
            host = network(number)
            running.enter_context(simulated_fleet(miners, host, *arguments))
            faults = {}
            for flag, value in zip(arguments[::2], arguments[1::2], strict=True):
                if flag == "--fault":
                    name, _, share = value.partition("=")
                    faults[name] = float(share)
            machines = build_farm(miners, host=host, faults=faults)
            register_simulated(machines, site=site)
            return machines

        yield start


def test_a_sweep_stores_every_machine_of_every_make(site, farm_of):
    machines = farm_of(60, 0)
    report = sweep_site(site)
    assert (report.miners, report.stored, report.online, report.failed) == (60, 60, 60, {})
    assert Telemetry.objects.filter(recorded_at=report.minute).count() == 60
    makes = set(MinerIdentity.objects.values_list("make", flat=True))
    assert {"Antminer", "Whatsminer"} <= makes
    by_address = {(machine.host, machine.port): machine for machine in machines}
    for latest in MinerLatest.objects.select_related("miner__miner_model"):
        machine = by_address[latest.miner.cgminer_ip, latest.miner.cgminer_port]
        nameplate = float(machine.model.hashrate_ths)
        assert 0.8 * nameplate < float(latest.hashrate_ths) < 1.2 * nameplate, machine.serial
        assert 40 < latest.temperature_c < 100, machine.serial
        assert latest.power_estimated is (machine.make != "Whatsminer")
        assert 0.9 * float(machine.model.power_w) < float(latest.power_w) < 1.2 * float(machine.model.power_w)
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (60, 60)


def test_the_second_sweep_asks_each_machine_in_the_cheapest_way(site, farm_of):
    farm_of(40, 1)
    sweep_site(site)
    sets = set(MinerIdentity.objects.values_list("command_set", flat=True))
    assert {"summary+stats", "summary"} <= sets
    before = dict(MinerIdentity.objects.values_list("miner_id", "updated_at"))
    assert sweep_site(site).online == 40
    assert dict(MinerIdentity.objects.values_list("miner_id", "updated_at")) == before


def test_faulty_machines_cost_themselves_and_nobody_else(site, farm_of, settings):
    settings.TELEMETRY_POLL_TIMEOUT_S = 1.0
    machines = farm_of(
        50, 2, "--fault", "hang=0.1", "--fault", "refuse=0.04", "--fault", "drip=0.04", "--fault", "garbage=0.04"
    )
    faulty = [machine.fault for machine in machines if machine.fault]
    started = time.monotonic()
    report = sweep_site(site)
    assert time.monotonic() - started < 6  # seven keep it waiting, each for a second
    assert report.stored == 50 - len(faulty) == 39
    assert report.failed["timeout"] == faulty.count("hang") + faulty.count("drip") == 7
    assert report.failed["refused"] == faulty.count("refuse") == 2
    assert sum(report.failed.values()) == 11
    assert TelemetrySweep.objects.get().failed == report.failed


def test_a_site_is_never_swept_twice_at_once(site):
    held = SchedulerLock.acquire(f"telemetry:site:{site.pk}", timeout=60)
    SchedulerLock.objects.update(acquired_at=database_now() + timedelta(minutes=1))  # the minute may end meanwhile
    with pytest.raises(SweepBusy, match="being swept by another process"):
        sweep_site(site)
    assert not TelemetrySweep.objects.exists()
    held.release()
    assert sweep_site(site).miners == 0


def test_the_same_minute_twice_doubles_nothing(site, farm_of):
    farm_of(20, 3)
    first = sweep_site(site)
    second = sweep_site(site)
    if second.minute == first.minute:
        assert SiteBucket.objects.get().samples == 20
    assert second.stored == 20
    assert Telemetry.objects.filter(recorded_at=first.minute).count() == 20


@pytest.mark.storm
def test_a_sweep_killed_in_the_middle_leaves_a_whole_minute_or_none(site, farm_of):
    """SIGKILL at every point of a sweep: nothing partial, nothing doubled, and sweeping goes on."""
    farm_of(30, 4, "--fault", "hang=0.1")
    environment = os.environ | {"DATABASE_URL": database_url(), "TELEMETRY_POLL_TIMEOUT_S": "1"}
    for delay_s in (0.6, 0.9, 1.2, 1.5, 1.8, 2.1):
        process = subprocess.Popen(
            [*MANAGE, "collect_telemetry", "--json"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with connection.cursor() as cursor:  # the dead worker's lease, run out
            cursor.execute("UPDATE scheduler_locks SET expires_at = clock_timestamp() - interval '1 s'")
        for sweep in TelemetrySweep.objects.all():
            assert (sweep.stored, Telemetry.objects.filter(recorded_at=sweep.minute).count()) == (27, 27)
    minutes = TelemetrySweep.objects.count()
    report = sweep_site(site)
    assert report.stored == 27
    assert TelemetrySweep.objects.count() in {minutes, minutes + 1}
    for bucket in SiteBucket.objects.all():
        assert bucket.samples == 27 * bucket.minutes


def test_a_dead_worker_blocks_the_next_for_less_than_two_minutes(site):
    lock = SchedulerLock.acquire(f"telemetry:site:{site.pk}", timeout=60)
    assert LOCK_TTL_S <= 120
    assert lock.expires_at - lock.acquired_at <= timedelta(seconds=120)


def test_the_command_sweeps_one_site_and_prints_one_document(site, farm_of):
    farm_of(12, 5)
    Site.objects.create(name="Empty")
    done = run_manage("collect_telemetry", "--site", "north", "--json", DATABASE_URL=database_url())
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    counted = {"miners", "stored", "online", "failed", "resting", "kept", "drained_minutes"}
    assert set(document) == counted | {"wall_s", "cpu_s"}
    assert (document["miners"], document["stored"], document["online"], document["failed"]) == (12, 12, 12, {})


def test_the_command_names_the_sites_when_there_is_no_such_one(site):
    done = run_manage("collect_telemetry", "--site", "Nowhere", "--json", DATABASE_URL=database_url())
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"error": f"No site 'Nowhere'. Sites: North ({site.pk})."}
    assert "No site 'Nowhere'" in done.stderr


def test_the_simulator_registers_its_machines_in_a_site_that_it_makes(catalogue, db):
    arguments = ("--register", "Fresh", "--seed", "5")
    os.environ["DATABASE_URL"], before = database_url(), os.environ["DATABASE_URL"]
    try:
        with simulated_fleet(15, network(6), *arguments) as document:
            assert document["registered"] == {
                "site": "Fresh",
                "site_id": Site.objects.get().pk,
                "added": 15,
                "updated": 0,
            }
            assert Miner.objects.polled().filter(site__name="Fresh").count() == 15
            assert sweep_site(Site.objects.get()).stored == 15
        with simulated_fleet(15, network(6), *arguments) as document:
            assert document["registered"]["updated"] == 15
    finally:
        os.environ["DATABASE_URL"] = before
    assert Miner.objects.count() == 15
