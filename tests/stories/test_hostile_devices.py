"""Devices that lie, flood and hang: they cost themselves, never the sweep, the minute or the collector's memory."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from hosting.cgminer.client import PollResult
from hosting.cgminer.dialects import antminer
from hosting.cgminer.simulator import build_farm
from hosting.models import Miner, MinerLatest, Telemetry, TelemetrySweep
from hosting.simulation import register_simulated
from hosting.telemetry.collector import as_row, count_rejected, sweep_site
from hosting.telemetry.store import SweepFacts, store_sweep
from hosting.telemetry.targets import polled_miners
from minefarm.lib.clock import database_minute
from tests.crooked import HOSTILE, crooked
from tests.farm import ROOT, database_url, network, simulated_fleet
from tests.hosting.cgminer.device import antminer_stats, antminer_summary, replying, whatsminer_summary

pytestmark = pytest.mark.django_db(transaction=True)

RATES = ("GHS 5s", "GHS av")
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def antminer_saying(**stats: object):
    text = json.dumps({"stats": [antminer_stats(**stats)], "summary": [antminer_summary(**stats)], "id": 1})
    return replying({"summary+stats": text.encode() + b"\0"})


def test_a_value_that_cannot_be_costs_that_value_only(site, catalogue, settings):
    """NaN, 1e308, infinity as a number and as a word, a million watts: over real TCP, beside an honest machine."""
    settings.TELEMETRY_POLL_TIMEOUT_S = 2.0
    devices = {
        "nan": antminer_saying(**dict.fromkeys(RATES, float("nan"))),
        "huge": antminer_saying(**dict.fromkeys(RATES, 1e308)),
        "inf": antminer_saying(temp_chip1="inf-inf-inf-inf", temp2_1="nan"),
        "watts": replying({"summary": whatsminer_summary(Power=1e308)}),
        "honest": antminer_saying(),
    }
    with crooked(list(devices.values())) as ports:
        miners = {
            name: Miner.objects.create(
                serial_number=name, site=site, cgminer_ip="127.0.0.1", cgminer_port=port, cgminer_enabled=True
            )
            for name, port in zip(devices, ports, strict=True)
        }
        report = sweep_site(site)
    assert (report.stored, report.failed) == (5, {})
    stored = {t.miner_id: t for t in Telemetry.objects.all()}
    known = {
        name: (stored[m.pk].hashrate is not None, stored[m.pk].temperature is not None) for name, m in miners.items()
    }
    assert known["honest"] == (True, True)
    assert known["nan"] == (False, True)
    assert known["huge"] == (False, True)
    assert known["watts"] == (True, True)
    assert stored[miners["watts"].pk].power_consumption is None
    assert not stored[miners["watts"].pk].power_estimated
    assert sum(report.rejected_values.values()) >= 3
    assert TelemetrySweep.objects.get().rejected_values == report.rejected_values


@pytest.mark.parametrize(
    "value",
    [pytest.param(float("nan"), marks=pytest.mark.storm), 1e308, pytest.param("1e999", marks=pytest.mark.storm)],
)
def test_one_bad_value_in_a_batch_of_6000_costs_itself(site, value):
    Miner.objects.bulk_create(
        Miner(serial_number=f"N{n}", site=site, cgminer_ip=f"10.9.{n // 250}.{n % 250 + 1}", cgminer_enabled=True)
        for n in range(6000)
    )
    miners = polled_miners(site)
    wrong = dict.fromkeys(RATES, value)
    good = antminer.parse({"stats": antminer_stats(), "summary": antminer_summary()})
    bad = antminer.parse({"stats": antminer_stats(**wrong), "summary": antminer_summary(**wrong)})
    results = [PollResult("", 0, reading=good, key=miner.id) for miner in miners]
    results[4321].reading = bad
    rows = [as_row(miner, result) for miner, result in zip(miners, results, strict=True)]
    minute = database_minute()
    facts = SweepFacts(site.pk, minute, count_rejected(results), 1.0, 1.0)
    assert store_sweep(facts, rows).stored == 6000
    nothing_known = Telemetry.objects.filter(recorded_at=minute, hashrate=None)
    assert list(nothing_known.values_list("miner_id", flat=True)) == [miners[4321].id]
    assert nothing_known.get().temperature is not None
    assert MinerLatest.objects.filter(seen_at=minute).count() == 6000
    assert sum(facts.rejected_values.values()) >= 1


@pytest.mark.storm
def test_a_hundred_sweeps_with_a_fifth_of_hostile_devices_keep_time_and_memory(site, catalogue):
    faults = ("--fault", "hang=0.05", "--fault", "drip=0.05", "--fault", "garbage=0.05", "--fault", "refuse=0.05")
    host, miners = network(31), 300
    with simulated_fleet(miners, host, *faults), crooked(HOSTILE * 5) as ports:
        machines = build_farm(miners, host=host, faults=dict.fromkeys(("hang", "drip", "garbage", "refuse"), 0.05))
        register_simulated(machines, site=site)
        Miner.objects.bulk_create(
            Miner(serial_number=f"X{port}", site=site, cgminer_ip="127.0.0.1", cgminer_port=port, cgminer_enabled=True)
            for port in ports
        )
        healthy = sum(machine.fault is None for machine in machines)
        assert (miners + len(ports) - healthy) / (miners + len(ports)) >= 0.2
        first = database_minute() - timedelta(minutes=200)
        command = [sys.executable, "-m", "tests.stories.sweeping", str(site.pk), first.isoformat(), "100", "0"]
        environment = os.environ | {
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "minefarm.settings",
            "TELEMETRY_POLL_TIMEOUT_S": "0.4",
        }
        megabytes, walls = [], []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
            for line in process.stdout:
                assert f"{healthy} of {miners + len(ports)} stored" in line or "stored in" in line, line
                walls.append(float(line.split(" stored in ")[1].split(" s")[0]))
                megabytes.append(resident_mb(process.pid))
        assert process.returncode == 0
    assert len(walls) == 100
    assert max(walls) < 3.0
    assert max(megabytes[50:]) - max(megabytes[10:20]) < 8, megabytes
    assert set(TelemetrySweep.objects.values_list("stored", flat=True)) == {healthy}
