"""A Celery worker is killed in mid-sweep and started again: no stored minute is lost or doubled, and sweeping goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from hosting.cgminer.simulator import build_farm
from hosting.models import SiteBucket, Telemetry, TelemetrySweep
from hosting.simulation import register_simulated
from hosting.tasks import sweep_sites
from minefarm.celery import app
from tests.farm import ROOT, database_url, network, simulated_fleet

pytestmark = [pytest.mark.storm, pytest.mark.django_db(transaction=True)]
MINERS, HANGING = 40, 4


@contextmanager
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    command = [
        str(Path(sys.executable).parent / "celery"),
        "-A",
        "minefarm",
        "worker",
        "-Q",
        "default,telemetry,outbox",
        "-c",
        "1",
    ]
    environment = os.environ | {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: app.control.inspect(timeout=0.5).ping(), 30)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def assert_every_minute_is_whole() -> None:
    for sweep in TelemetrySweep.objects.all():
        stored = Telemetry.objects.filter(recorded_at=sweep.minute).count()
        assert (sweep.stored, stored) == (MINERS - HANGING, MINERS - HANGING)
    for bucket in SiteBucket.objects.all():
        assert bucket.samples == bucket.minutes * (MINERS - HANGING)


def test_a_killed_worker_loses_and_doubles_nothing(site, catalogue):
    app.control.purge()
    host = network(9)
    faults = {"hang": HANGING / MINERS}
    with simulated_fleet(MINERS, host, "--fault", f"hang={HANGING / MINERS}"):
        register_simulated(build_farm(MINERS, host=host, faults=faults), site=site)
        with worker() as process:
            before = TelemetrySweep.objects.count()
            sweep_sites.delay()
            time.sleep(2)  # the hanging machines keep the sweep busy for three seconds
            os.killpg(process.pid, signal.SIGKILL)
        assert TelemetrySweep.objects.count() == before
        assert_every_minute_is_whole()
        killed = time.monotonic()
        with worker():
            while TelemetrySweep.objects.count() == before:
                assert time.monotonic() - killed < 120, "a dead worker blocks the next one for more than two minutes"
                sweep_sites.delay()
                time.sleep(4)
        assert_every_minute_is_whole()
