"""The independent client library takes the simulator's machines for what they claim to be."""

import asyncio
import ipaddress

import pytest

from hosting.cgminer.simulator import SimulatedFarm, build_farm
from tests.hosting.cgminer.device import network

pyasic = pytest.importorskip(
    "pyasic",
    reason="pyasic is not installed: it is an optional extra, and the simulator is then only judged by our own client",
)

# Our names and what the library calls the class of machine that it finds.
FAMILIES = {
    "Antminer": ("antminer", "bmminer"),
    "Whatsminer": ("whatsminer", "btminer"),
    "Avalon": ("avalon",),
    "LuxOS": ("lux",),
    "Braiins OS": ("bos", "braiins"),
    "VNish": ("vnish",),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", list(FAMILIES))
def test_the_library_identifies_each_make(make):
    """It asks port 4028 and 80 only, so the machines have these; where port 80 cannot be had, they go without."""
    miner = build_farm(1, host=network(45), makes={make: 1}, web_port=None)[0]

    async def work():
        farm = SimulatedFarm([miner])
        await farm.start()
        try:
            return await asyncio.wait_for(pyasic.get_miner(str(ipaddress.ip_address(miner.host))), 30)
        finally:
            await farm.stop()

    found = asyncio.run(work())
    assert found is not None, f"pyasic does not see a miner in our {make}"
    names = " ".join(base.__name__ for base in type(found).__mro__).lower() + f" {found.make} {found.firmware}".lower()
    assert any(family in names for family in FAMILIES[make]), names
