"""Simulated machines of one site, over TCP, as a test's own process."""

from contextlib import ExitStack
from itertools import pairwise

import pytest

from hosting.cgminer.simulator import build_farm
from hosting.models import Miner
from hosting.simulation import register_simulated
from tests.farm import network, simulated_fleet


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
