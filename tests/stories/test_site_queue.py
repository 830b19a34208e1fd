"""A worker in a site's network takes that site's sweeps and no others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from celery.exceptions import QueueNotFound
from django.conf import settings
from django.core.management import call_command

from hosting.cgminer.simulator import build_farm
from hosting.models import Site, Telemetry, TelemetrySweep
from hosting.simulation import register_simulated
from hosting.tasks import sweep_site, sweep_sites
from hosting.telemetry.backlog import memory
from hosting.telemetry.duty import own_sites, sites_to_sweep
from hosting.telemetry.queues import queue_of
from minefarm.celery import app
from tests.farm import ROOT, database_url, network, simulated_fleet

pytestmark = pytest.mark.django_db(transaction=True)
MINERS = 10


@pytest.fixture
def sites(catalogue):
    """One for each way of being read."""
    return {way: Site.objects.create(name=way.title(), collector=way) for way in ("farm", "queue", "agent")}


def test_workers_leave_agents_sites_alone(sites):
    assert sites_to_sweep() == {sites["farm"].pk: "farm", sites["queue"].pk: "queue"}
    assert own_sites() == [sites["farm"].pk]


def test_who_reads_what_is_known_while_the_database_is_away(sites):
    known = sites_to_sweep()
    assert memory().recall_duty() == known


def test_a_site_that_an_agent_takes_over_is_forgotten_here(sites):
    memory().remember(sites["farm"].pk, [])
    sites_to_sweep()
    assert memory().sites() == [sites["farm"].pk]
    Site.objects.update(collector="agent")
    sites_to_sweep()
    assert memory().sites() == []


def test_collect_telemetry_reads_the_farms_own_sites_unless_one_is_named(sites):
    call_command("collect_telemetry", "--json", stdout=StringIO())
    assert list(TelemetrySweep.objects.values_list("site", flat=True)) == [sites["farm"].pk]
    call_command("collect_telemetry", "--json", "--site", "Queue", stdout=StringIO())
    assert set(TelemetrySweep.objects.values_list("site", flat=True)) == {sites["farm"].pk, sites["queue"].pk}


@pytest.mark.parametrize("name", ["telemetri", "telemetry.site-x", "telemetry.site-0", "telemetry.site-1; x"])
def test_a_misspelt_queue_is_still_an_error(name):
    with pytest.raises(QueueNotFound):
        sweep_site.apply_async((1,), queue=name)


@contextmanager
def worker(queues: str) -> Iterator[None]:
    command = [str(Path(sys.executable).parent / "celery"), "-A", "minefarm", "worker", "-Q", queues, "-c", "1"]
    environment = os.environ | {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: app.control.inspect(timeout=0.5).ping(), 40)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def swept() -> set[str]:
    return set(TelemetrySweep.objects.values_list("site__collector", flat=True))


@pytest.mark.storm
def test_a_worker_takes_the_sweeps_of_its_sites_queue_alone(sites):
    app.control.purge()
    host = network(61)
    with simulated_fleet(MINERS, host):
        register_simulated(build_farm(MINERS, host=host), site=sites["queue"])
        with worker(queue_of(sites["queue"].pk)):
            assert sweep_sites() == 2
            wait_until(lambda: swept() == {"queue"}, 30)
            time.sleep(2)
            assert swept() == {"queue"}
        assert Telemetry.objects.count() == MINERS
        with worker("telemetry"):
            wait_until(lambda: swept() == {"queue", "farm"}, 30)
