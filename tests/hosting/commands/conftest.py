"""Simulated machines of the inventory that take orders over real TCP."""

from contextlib import ExitStack

import pytest

from hosting.cgminer.simulator import build_farm
from hosting.models import Miner
from hosting.simulation import register_simulated
from tests.farm import network, simulated_fleet


@pytest.fixture
def fleet(site, catalogue):
    """Start machines in a process of their own and put them into the site; `fleet(10, 20)` gives their rows."""
    with ExitStack() as running:

        def start(count: int, number: int, *arguments: str, into=None) -> list[Miner]:
            host = network(number)
            running.enter_context(simulated_fleet(count, host, *arguments))
            faults, seed = {}, 1
            for flag, value in zip(arguments[::2], arguments[1::2], strict=True):
                if flag == "--fault":
                    name, _, share = value.partition("=")
                    faults[name] = float(share)
                if flag == "--seed":
                    seed = int(value)
            machines = build_farm(count, host=host, faults=faults, seed=seed)
            register_simulated(machines, site=into or site)
            return list(Miner.objects.filter(serial_number__in=[one.serial for one in machines]).order_by("pk"))

        yield start
