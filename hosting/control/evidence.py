"""Reading a machine as evidence for or against an order."""

import asyncio
from datetime import UTC, datetime

from hosting.cgminer.client import poll
from hosting.cgminer.protocol import ProtocolError
from hosting.cgminer.reading import PowerSource, Reading
from hosting.control.drivers import antminer
from hosting.control.makes import by_words
from hosting.control.orders import Machine, NotDone, Order, Task
from hosting.control.proof import Evidence


async def look(machine: Machine, *, timeout_s: float = 5.0, light: bool = False) -> Evidence:
    """One reading of the machine; with `light`, of its locating light too where that can be read. Never raises for a device."""
    result = await poll(machine.host, machine.port, timeout_s=timeout_s)
    moment = datetime.now(UTC)
    if result.reading is None:
        return Evidence(moment, answered=False)
    reading = result.reading
    return Evidence(
        moment,
        power_w=reading.power_w,
        power_measured=reading.power_source is PowerSource.MINER,
        hashrate_ths=short_window(reading),
        uptime_s=reading.uptime_s,
        blinking=await _blinking(machine, timeout_s) if light else None,
    )


def short_window(reading: Reading) -> float | None:
    """The hashrate, unless it is no more than the session's average."""
    return None if reading.hashrate_averaged else reading.hashrate_ths


async def _blinking(machine: Machine, timeout_s: float) -> bool | None:
    if by_words(machine) is not antminer or machine.login is None:
        return None
    task = Task(machine, Order.LOCATE, asyncio.get_running_loop().time() + timeout_s)
    try:
        async with asyncio.timeout_at(task.deadline):
            return await antminer.blinking(task)
    except (NotDone, ProtocolError, TimeoutError):
        return None
