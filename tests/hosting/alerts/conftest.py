"""A farm whose minutes pass as the test says: sweeps are stored with minutes of the past, and each is evaluated at its time."""

from datetime import timedelta

import pytest

from hosting.alerts import watch
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

FINE = {"hashrate_centi_ths": 11_000, "power_centi_w": 325_000, "temperature_centi_c": 7_000, "fan_rpm": (6000, 6000)}


@pytest.fixture(autouse=True)
def first_rules(alert_rules) -> None:
    """Every test here has them."""


class Farm:
    """`minutes(…)` lets minutes pass: each is swept, then evaluated as the once-a-minute task does."""

    def __init__(self, monkeypatch, site) -> None:
        self.site, self.now = site, database_minute() - timedelta(hours=8)
        # Time is an argument here: the clock that the evaluation asks stands where the test has come to.
        monkeypatch.setattr(watch, "database_now", lambda: self.now + timedelta(seconds=30))

    def minutes(self, count, miners, *, bad=(), site=None, sweep=True, evaluate=True, **values):
        watched = None
        for _ in range(count):
            self.now += timedelta(minutes=1)
            if sweep:
                self.sweep(miners, bad, site or self.site, values)
            if evaluate:
                watched = watch.watch_fleet()
        return watched

    def sweep(self, miners, bad, site, values) -> None:
        bad = {miner.pk for miner in bad}
        rows = []
        for miner in miners:
            wrong = miner.pk in bad
            error = values.get("error") if wrong else None
            reading = FINE | ({key: value for key, value in values.items() if key != "error"} if wrong else {})
            rows.append(Row(miner.pk, miner.client_id, error, **({} if error else reading)))
        store_sweep(SweepFacts(site.pk, self.now, {}, 1.0, 0.1), rows)


@pytest.fixture
def farm(monkeypatch, site):
    return Farm(monkeypatch, site)


@pytest.fixture
def machines(make_miner, client_a):
    """So many machines of client A that are read every minute."""

    def make(count, *, prefix="M", **fields):
        fields = {"client": client_a, "cgminer_enabled": True} | fields
        return [
            make_miner(
                f"{prefix}-{number:04}",
                cgminer_ip=f"127.{21 + ord(prefix[-1]) % 50}.{number // 250}.{number % 250 + 1}",
                **fields,
            )
            for number in range(1, count + 1)
        ]

    return make
