"""Which driver a machine needs: by what is known of it, and where firmware of several makes runs, by what it says itself."""

import asyncio
from dataclasses import replace
from types import ModuleType

from hosting.cgminer.dialects import whatsminer as whatsminer_dialect
from hosting.cgminer.dialects.sections import Fields, first, status
from hosting.cgminer.protocol import ProtocolError
from hosting.control.drivers import antminer, avalon, braiins, luxos, vnish, whatsminer, whatsminer_v3
from hosting.control.orders import Machine, Task, unsupported
from hosting.control.wire import ask

PROBE_S, PROBE_SHARE = 2.0, 1 / 3  # a port that hangs must leave time for the web interface
# Words in the names of firmware, make or model, the most telling first: LuxOS runs on an Antminer, not the other way round.
WORDS: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (luxos, ("luxos", "luxminer", "luxor")),
    (braiins, ("braiins", "bosminer", "boser", "bos+")),
    (vnish, ("vnish", "anthill")),
    (whatsminer, ("whatsminer", "microbt", "btminer")),
    (avalon, ("avalon", "canaan")),
    (antminer, ("antminer", "bitmain", "bmminer")),
)


async def driver_for(task: Task) -> ModuleType:
    """Raises NotDone when it is of no make that we command, and ProtocolError when it must be asked and does not answer."""
    known = whatsminer if task.machine.port == whatsminer_v3.PORT else by_words(task.machine)
    if known is not None and known is not antminer:
        return known
    now = asyncio.get_running_loop().time()
    soon = replace(task, deadline=now + min(PROBE_S, PROBE_SHARE * (task.deadline - now)))
    try:
        told = by_version(await ask(soon, "version"))
    except ProtocolError:
        if known is antminer:  # asleep, some of them answer on the web interface only
            return antminer
        raise
    return told or known or await by_summary(task)


def by_words(machine: Machine) -> ModuleType | None:
    names = " ".join(name for name in (machine.firmware, machine.make, machine.model) if name).lower()
    return next((driver for driver, words in WORDS if any(word in names for word in words)), None)


def by_version(reply: Fields) -> ModuleType | None:
    version = first({"version": reply}, "version")
    names = " ".join(
        [*version, *(str(value) for value in version.values()), str(status(reply).get("Description"))]
    ).lower()
    return next((driver for driver, words in WORDS if any(word in names for word in words)), None)


async def by_summary(task: Task) -> ModuleType:
    """Whatsminers of API v2 have no `version`."""
    if whatsminer_dialect.recognises({"summary": await ask(task, "summary")}):
        return whatsminer
    name = task.machine.make or "Unknown make"
    raise unsupported(name, "no driver commands it: give the machine its model, or switch it at its power outlet")
