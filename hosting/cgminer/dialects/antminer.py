"""Bitmain's stock firmware (bmminer). Reports no power. `temp2_N` and `temp_chipN` are chips, `tempN`, `temp_pcbN` boards."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Fields, Replies, entries, first, text
from hosting.cgminer.reading import RANGES, PowerSource, Reading

MAKE = "Antminer"
NEEDS = ("summary", "stats")
ASKS_ONCE: tuple[str, ...] = ()

MAX_DIGITS = 6
HOTTEST_C = RANGES["temperature_c"][1]
MAX_TEXT = 200
KINDS = {
    "chip": re.compile(r"temp2_\d+|temp_chip\d+"),
    "board": re.compile(r"temp\d+|temp_pcb\d+"),
    "fan": re.compile(r"fan[0-9]{1,2}"),
    "chain_power": re.compile(r"chain_consumption\d+"),
}


def recognises(replies: Replies) -> bool:
    headers = [*entries(replies, "stats"), first(replies, "version")]
    return any("BMMiner" in entry or str(entry.get("Type", "")).startswith(MAKE) for entry in headers)


def parse(replies: Replies) -> Reading:
    stats = entries(replies, "stats")
    header = next((entry for entry in stats if "Type" in entry), first(replies, "version"))
    values = merged(stats)
    summary = first(replies, "summary")
    reading = Reading(make=MAKE, model=text(header.get("Type")), firmware=text(header.get("Miner")))
    set_rates(reading, values, summary)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", values.get("Elapsed", summary.get("Elapsed")))
    keys = sort_keys(tuple(values))
    reading.temperature_c = reading.hottest(sensors(values, keys["chip"]))
    if reading.temperature_c is None:
        reading.temperature_c = reading.hottest(sensors(values, keys["board"]))
    reading.fan_rpm = fans(reading, values, keys["fan"])
    reading.power_w = power(reading, values, keys["chain_power"])
    reading.power_source = None if reading.power_w is None else PowerSource.MINER
    return reading


def merged(stats: Sequence[Fields]) -> Fields:
    """All of it in one; the usual reply is a header and one object with every value, which is taken as it is."""
    if len(stats) == 2 and "Elapsed" in stats[1]:
        return stats[1]
    values: dict[str, Any] = {}
    for entry in stats:
        values.update(entry)
    return values


@lru_cache(maxsize=256)
def sort_keys(names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """The names of each kind, fans by number. A firmware sends the same names every minute, so few are ever sorted."""
    kinds = {kind: [name for name in names if pattern.fullmatch(name)] for kind, pattern in KINDS.items()}
    kinds["fan"].sort(key=lambda name: int(name.removeprefix("fan")))
    return {kind: tuple(found) for kind, found in kinds.items()}


def sensors(values: Fields, names: Iterable[str]) -> list[object]:
    """Every value of the sensors so named; "78-50-69-70" is four of them."""
    found: list[object] = []
    for name in names:
        value = values[name]
        if isinstance(value, str):
            found += chain_sensors(value)
        else:
            found.append(value)
    return found


@lru_cache(maxsize=8192)
def chain_sensors(text: str) -> tuple[object, ...]:
    """The chain's hottest sensor of those in whole believable degrees, and whatever else the text holds.

    Whole degrees repeat: most of a farm's texts were seen before.
    """
    parts = text[:MAX_TEXT].split("-")
    plain = {int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < MAX_DIGITS}
    believable = {value for value in plain if 0 < value <= HOTTEST_C}
    others = [part for part in parts if not (part.isascii() and part.isdecimal() and len(part) < MAX_DIGITS)]
    return (*([max(believable)] if believable else []), *sorted(plain - believable), *others)


def fans(reading: Reading, values: Fields, names: Iterable[str]) -> list[int]:
    """The fans in order. Slots beyond `fan_num` read 0 and are no fans; a 0 within it is a fan that stands still."""
    speeds = reading.fans([values[name] for name in names])
    if 0 not in speeds:
        return speeds
    count = reading.count("fan_num", values.get("fan_num"))
    standing = max((count or 0) - sum(1 for speed in speeds if speed), 0)
    found = []
    for speed in speeds:
        if speed or standing > 0:
            found.append(speed)
            standing -= not speed
    return found


def power(reading: Reading, values: Fields, chains: Iterable[str]) -> float | None:
    """Watts, on the builds that tell: as one figure, or per chain on VNish."""
    for key in ("chain_power", "Power"):
        if (watts := reading.number("power_w", values.get(key))) is not None:
            return watts
    known = [watts for name in chains if (watts := reading.number("power_w", values[name])) is not None]
    return sum(known) if known else None
