"""Readings as evidence: asked for together, kept as JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from hosting.cgminer.client import RESERVED_FILES, raise_open_files
from hosting.control import Evidence, Machine, identify, look

CONCURRENCY = 300  # more at once only makes them wait for this process
LOOK_S = 4.0
T = TypeVar("T")


async def look_at(machines: Iterable[Machine]) -> dict[int, Evidence]:
    """One reading of each machine, by its key; one that hangs costs itself alone."""
    return await _each(machines, lambda machine: look(machine, timeout_s=LOOK_S))


async def look_and_identify(
    machines: Iterable[Machine],
) -> dict[int, tuple[Evidence, tuple[str | None, str | None]]]:
    """A reading and serial number and MAC of each; who does not answer is not asked for its name."""

    async def both(machine: Machine) -> tuple[Evidence, tuple[str | None, str | None]]:
        reading = await look(machine, timeout_s=LOOK_S)
        return reading, await identify(machine) if reading.answered else (None, None)

    return await _each(machines, both)


async def identify_all(machines: Iterable[Machine]) -> dict[int, tuple[str | None, str | None]]:
    """Serial number and MAC of each, by its key."""
    return await _each(machines, identify)


async def _each(machines: Iterable[Machine], ask: Callable[[Machine], Awaitable[T]]) -> dict[int, T]:
    # Two sockets each: some makes are asked who they are while the last connection closes.
    files = raise_open_files(2 * CONCURRENCY + RESERVED_FILES) - RESERVED_FILES
    gate = asyncio.Semaphore(max(1, min(CONCURRENCY, files // 2)))

    async def one(machine: Machine) -> tuple[int, T]:
        async with gate:
            return machine.key, await ask(machine)

    return dict(await asyncio.gather(*(one(machine) for machine in machines)))


def as_json(reading: Evidence) -> dict[str, Any]:
    return asdict(reading) | {"at": reading.at.isoformat()}


def from_json(known: Mapping[str, Any]) -> Evidence:
    return Evidence(**dict(known) | {"at": datetime.fromisoformat(known["at"])})


def in_words(reading: Evidence) -> str:
    """What was measured last, for people."""
    if not reading.answered:
        return "it does not answer"
    told = []
    if reading.measured_w is not None:
        told.append(f"{reading.measured_w:,.0f} W")
    if reading.hashrate_ths is not None:
        told.append(f"{reading.hashrate_ths:,.1f} TH/s")
    return "it reports " + (" and ".join(told) if told else "nothing that would tell")
