"""A fleet as the last sweeps saw it, a price of electricity and a market; and simulated machines over TCP."""

from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from hosting.cgminer.simulator import build_farm
from hosting.models import Miner
from hosting.simulation import register_simulated
from tests.farm import network, simulated_fleet

READINGS = """
INSERT INTO miner_telemetry (recorded_at, miner_id, power_consumption, hashrate)
SELECT date_trunc('minute', %(now)s::timestamptz) - ago * interval '1 minute', %(miner)s, %(watts)s, %(ths)s
FROM generate_series(%(first)s, %(last)s) AS ago
"""


@pytest.fixture(autouse=True)
def factory_logins(settings) -> None:
    settings.MINEFARM_FACTORY_LOGINS = True


@pytest.fixture
def now(db) -> datetime:
    from hosting.telemetry.partitions import create_partition
    from minefarm.lib.clock import database_now

    moment = database_now()
    for days in (-1, 0):
        create_partition((moment + timedelta(days=days)).date())
    return moment


@pytest.fixture
def read(now):
    """Readings of a machine: one a minute from `first` to `last` minutes ago, and its latest state."""
    from django.db import connection

    from hosting.models import MinerLatest

    def write(miner, watts: object = 3250, ths: object = 110, *, first: int = 1, last: int = 10):
        with connection.cursor() as cursor:
            cursor.execute(
                READINGS, {"now": now, "miner": miner.pk, "watts": watts, "ths": ths, "first": first, "last": last}
            )
        MinerLatest.objects.update_or_create(
            miner=miner,
            defaults={
                "attempted_at": now,
                "seen_at": now - timedelta(minutes=first),
                "power_w": watts,
                "hashrate_ths": ths,
            },
        )
        return miner

    return write


@pytest.fixture
def running(make_miner, read):
    """Make a machine that hashes: `running("A-1", 3250, 110, client=client_a)`."""
    made: list[object] = []

    def make(serial: str, watts: object = 3250, ths: object = 110, **fields):
        made.append(serial)
        fields.setdefault("cgminer_ip", f"127.20.{len(made) // 250}.{len(made) % 250 + 1}")
        return read(make_miner(serial, cgminer_enabled=True, **fields), watts, ths)

    return make


@pytest.fixture
def worth(site, now):
    """Electricity at $100 a MWh and a hashprice of $50 per PH/s and day."""
    from analytics.models import MarketSnapshot
    from hosting.models import ElectricityPrice

    ElectricityPrice.objects.create(
        site=site, price_per_kwh=Decimal("0.1"), currency="USD", valid_from=now - timedelta(days=1)
    )
    MarketSnapshot.objects.create(
        bucket=now.replace(minute=0, second=0, microsecond=0),
        created_at=now,
        btc_price=Decimal(100_000),
        hashprice_usd_per_ph_day=Decimal(50),
    )


@pytest.fixture
def machines_at(site, catalogue, settings):
    """`machines_at(7, 12, "--fault", "ignores=0.1")`: machines that are registered, on a loopback network of this number."""
    settings.MINEFARM_FACTORY_LOGINS = True
    with ExitStack() as running:

        def start(number: int, count: int, *arguments: str, speed: float = 12.0, make: str = "Whatsminer"):
            host = network(number)
            faults = {
                name: float(share)
                for flag, value in pairwise(arguments)
                if flag == "--fault"
                for name, _, share in [value.partition("=")]
            }
            running.enter_context(
                simulated_fleet(count, host, "--make", f"{make}=1", "--speed", str(speed), *arguments)
            )
            built = build_farm(count, host=host, faults=faults, makes={make: 1})
            register_simulated(built, site=site)
            order = {one.serial: position for position, one in enumerate(built)}
            found = Miner.objects.filter(serial_number__in=order).select_related("miner_model")
            for one in found:
                one.fault = built[order[one.serial_number]].fault
            return sorted(found, key=lambda one: order[one.serial_number])

        yield start
