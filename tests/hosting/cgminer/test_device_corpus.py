"""Recorded replies of real machines, replayed. MINEFARM_DEVICE_CORPUS names their folder, which is no part of the project."""

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosting.cgminer.client import poll
from hosting.cgminer.reading import PowerSource, ReadError

CORPUS = os.environ.get("MINEFARM_DEVICE_CORPUS")
pytestmark = pytest.mark.skipif(not CORPUS, reason="MINEFARM_DEVICE_CORPUS is not set: no recorded machines to replay")

ANTMINER, WHATSMINER = "antminer-s19pro-stock", "whatsminer-m20s-v1"


@contextmanager
def replayed(machine, *options):
    """The recorded machine on a free port of 127.0.0.1."""
    command = [
        sys.executable,
        "-u",
        str(Path(CORPUS or "") / "replay.py"),
        machine,
        "--port",
        "0",
        "--seconds",
        "60",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.kill()


def read(machine, *options, timeout_s=3.0):
    with replayed(machine, *options) as port:
        return asyncio.run(poll("127.0.0.1", port, timeout_s=timeout_s))


@pytest.mark.parametrize("options", [(), ("--reject-joined",)])
def test_the_recorded_antminer_reads_as_its_table_says(options):
    result = read(ANTMINER, *options)
    reading = result.reading
    assert (result.error, reading.make, reading.model) == (None, "Antminer", "Antminer S19 Pro")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (110.57, 111.83)
    assert (reading.temperature_c, reading.fan_rpm) == (78.0, [6000, 5880, 5040, 5040])
    assert (reading.power_w, reading.power_source) == (pytest.approx(3266.8, abs=1), PowerSource.ESTIMATE)
    assert (reading.uptime_s, reading.accepted, reading.rejected, reading.hardware_errors) == (50474, 4057, 11, 562)
    assert result.command_set == ("summary,stats" if options else "summary+stats")


@pytest.mark.parametrize("options", [(), ("--reject-joined",)])
def test_the_recorded_whatsminer_reads_as_its_table_says(options):
    result = read(WHATSMINER, *options)
    reading = result.reading
    assert (result.error, reading.make, reading.firmware) == (None, "Whatsminer", "20210322.22.REL")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (70.67, 67.75)
    assert (reading.power_w, reading.power_source) == (3417.0, PowerSource.MINER)
    assert (reading.temperature_c, reading.fan_rpm) == (92.5, [6450, 6480])
    assert result.command_set == "summary"


@pytest.mark.parametrize("machine", [ANTMINER, WHATSMINER])
@pytest.mark.parametrize("options", [("--hang",), ("--drip", "20")])
def test_a_recorded_machine_that_hangs_or_drips_is_a_timeout_in_time(machine, options):
    result = read(machine, *options, timeout_s=1.0)
    assert (result.error, result.reading) == (ReadError.TIMEOUT, None)
    assert 0.99 <= result.wall_s < 3
