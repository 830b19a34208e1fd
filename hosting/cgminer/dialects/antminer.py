"""Bitmain's stock firmware (bmminer). Reports no power; `temp2_N` and `temp_chipN` are chips, `tempN` and `temp_pcbN` the board."""

import re
from collections.abc import Iterable

from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Fields, Replies, entries, first, text
from hosting.cgminer.reading import PowerSource, Reading

MAKE = "Antminer"
NEEDS = ("summary", "stats")
ASKS_ONCE: tuple[str, ...] = ()

CHIP_SENSOR = re.compile(r"temp2_\d+|temp_chip\d+")
BOARD_SENSOR = re.compile(r"temp\d+|temp_pcb\d+")
FAN = re.compile(r"fan(\d+)")
CHAIN_POWER = re.compile(r"chain_consumption\d+")


def recognises(replies: Replies) -> bool:
    headers = [*entries(replies, "stats"), first(replies, "version")]
    return any("BMMiner" in entry or str(entry.get("Type", "")).startswith(MAKE) for entry in headers)


def parse(replies: Replies) -> Reading:
    stats = entries(replies, "stats")
    header = next((entry for entry in stats if "Type" in entry), first(replies, "version"))
    values: Fields = {key: value for entry in stats for key, value in entry.items()}
    summary = first(replies, "summary")
    reading = Reading(make=MAKE, model=text(header.get("Type")), firmware=text(header.get("Miner")))
    set_rates(reading, values, summary)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", values.get("Elapsed", summary.get("Elapsed")))
    chips = sensors(values, CHIP_SENSOR)
    reading.temperature_c = reading.hottest(chips)
    if reading.temperature_c is None:
        reading.temperature_c = reading.hottest(sensors(values, BOARD_SENSOR))
    reading.fan_rpm = fans(reading, values)
    reading.power_w = power(reading, values)
    reading.power_source = None if reading.power_w is None else PowerSource.MINER
    return reading


def sensors(values: Fields, name: re.Pattern[str]) -> Iterable[object]:
    """Every value of the sensors so named; "78-50-69-70" is four of them."""
    for key, value in values.items():
        if name.fullmatch(key):
            yield from value.split("-") if isinstance(value, str) else [value]


def fans(reading: Reading, values: Fields) -> list[int]:
    """The fans in order. Slots beyond `fan_num` read 0 and are no fans; a 0 within it is a fan that stands still."""
    numbered = sorted((int(match[1]), key) for key in values if (match := FAN.fullmatch(key)))
    speeds = reading.fans(values[key] for _, key in numbered)
    count = reading.number("fan_rpm", values.get("fan_num"))
    standing = max(int(count or 0) - sum(1 for speed in speeds if speed), 0)
    found = []
    for speed in speeds:
        if speed or standing > 0:
            found.append(speed)
            standing -= not speed
    return found


def power(reading: Reading, values: Fields) -> float | None:
    """Watts, on the builds that tell: as one figure, or per chain on VNish."""
    for key in ("chain_power", "Power"):
        if (watts := reading.number("power_w", values.get(key))) is not None:
            return watts
    chains = [reading.number("power_w", value) for key, value in values.items() if CHAIN_POWER.fullmatch(key)]
    known = [watts for watts in chains if watts is not None]
    return sum(known) if known else None
