"""Simulated machines to command, on loopback networks of their own, and the readings that prove what they did."""

import asyncio
from contextlib import asynccontextmanager

from hosting.cgminer.simulator import SimulatedFarm, build_farm
from hosting.control import Machine, look
from hosting.control.factory import FACTORY_LOGINS
from tests.hosting.cgminer.device import network

SPEED = 500.0


def machines_of(make, number, *, count=40, speed=SPEED, **options):
    """Simulated machines of one make."""
    web_port = options.pop("web_port", 8480)
    return build_farm(count, host=network(number), speed=speed, web_port=web_port, makes={make: 1}, **options)


def as_machine(miner, *, login=True, **changes):
    """The simulated machine as the inventory knows it."""
    known = {
        "host": miner.host,
        "port": miner.port,
        "make": miner.make,
        "model": miner.model.name,
        "key": miner.number,
        "login": FACTORY_LOGINS.get(miner.make.removesuffix(" v3")) if login is True else login or None,
        "web_port": miner.web_port,
        "serial": miner.serial,
        "mac": miner.mac,
    }
    return Machine(**known | changes)


@asynccontextmanager
async def running(miners):
    farm = SimulatedFarm(miners)
    await farm.start()
    try:
        yield farm
    finally:
        await farm.stop()


async def readings(machine, count=3, pause_s=0.02):
    """So many readings, one after the other."""
    found = []
    for _ in range(count):
        await asyncio.sleep(pause_s)
        found.append(await look(machine))
    return found
