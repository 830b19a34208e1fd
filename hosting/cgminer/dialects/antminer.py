"""Bitmain's stock firmware (bmminer), old and new, and what resembles it: VNish, Hiveon. Stock reports no power.

`temp2_N` and `temp_chipN` are chips, `tempN` and `temp_pcbN` boards, `temp_picN` neither. Newer firmware has another form of
`stats` beside the old one, with a list of chains.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hosting.cgminer.dialects import chains
from hosting.cgminer.dialects.boards import hottest_board, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Fields, Replies, entries, first, text
from hosting.cgminer.reading import RANGES, Board, Reading

MAKE = "Antminer"
NEEDS = ("summary", "stats")
ASKS_ONCE: tuple[str, ...] = ()
DETAILS: tuple[str, ...] = ()
VNISH = "VNish"

ASLEEP = ("stopped", "sleeping", "shutting-down", "paused")  # VNish's own word for what it does
FIRMWARE = re.compile(r"\s*\(\s*vnish\s*([^)]*)\)", re.IGNORECASE)
CHAINS = range(17)
GHS = 1e-3
MAX_MAP = 4096
MAX_DIGITS = 6
HOTTEST_C = RANGES["temperature_c"][1]
MAX_TEXT = 200
KINDS = {
    "chip": re.compile(r"temp2_\d+|temp_chip\d+"),
    "board": re.compile(r"temp\d+|temp_pcb\d+"),
    "fan": re.compile(r"fan[0-9]{1,2}"),
    "chain_power": re.compile(r"chain_(?:consumption|power)\d+"),
}


def recognises(replies: Replies) -> bool:
    headers = [*entries(replies, "stats"), first(replies, "version")]
    if any(
        ("BMMiner" in entry or str(entry.get("Type", "")).startswith(MAKE)) and "LUXminer" not in entry
        for entry in headers
    ):
        return True
    return chains.recognises(replies)


def parse(replies: Replies) -> Reading:
    stats = entries(replies, "stats")
    if stats and "chain" in stats[-1]:
        return chains.parse(replies)
    header = next((entry for entry in stats if "Type" in entry), first(replies, "version"))
    values = merged(stats)
    summary = first(replies, "summary")
    reading = Reading(make=MAKE, model=text(header.get("Type")), firmware=text(header.get("Miner")))
    name_the_firmware(reading, values)
    set_rates(reading, values, summary, asleep=values.get("state") in ASLEEP)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", values.get("Elapsed", summary.get("Elapsed")))
    keys = sort_keys(tuple(values))
    reading.temperature_c = reading.hottest(sensors(values, keys["chip"]))
    reading.fan_rpm = fans(reading, values, keys["fan"])
    set_power(reading, values, keys["chain_power"])
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


def set_power(reading: Reading, values: Fields, names: Iterable[str]) -> None:
    """Watts, on the builds that tell: as one figure, or per chain. VNish leaves the chains' at zero where it has no meter."""
    for key in ("chain_power", "total_power", "Power"):
        if key in values and reading.set_power(values[key]):
            return
    known = [watts for name in names if (watts := reading.number("power_w", values[name])) is not None]
    if known:
        reading.set_power(sum(known))


def name_the_firmware(reading: Reading, values: Fields) -> None:
    """`Antminer S19 XP (Vnish 1.2.0)` is an S19 XP that obeys VNish's interface."""
    found = FIRMWARE.search(reading.model or "")
    if found is not None:
        reading.make, reading.model = VNISH, text((reading.model or "")[: found.start()])
        reading.firmware = text(values.get("build_version")) or found[1] or reading.firmware


def detail(reading: Reading, replies: Replies) -> None:
    stats = entries(replies, "stats")
    if stats and "chain" in stats[-1]:
        reading.boards = chains.boards(reading, stats[-1])
        reading.board_temperature_c = hottest_board(reading)
    else:
        values = merged(stats)
        reading.boards = boards(reading, values)
        reading.board_temperature_c = hottest_board(reading, sensors(values, sort_keys(tuple(values))["board"]))
    set_pool(reading, replies)


def boards(reading: Reading, values: Fields) -> list[Board]:
    """The chains that have chips; S9s have them in the sixth to eighth of sixteen slots."""
    found = []
    for number in CHAINS:
        chips = reading.count("chips", values.get(f"chain_acn{number}"))
        if not chips:
            continue
        map_of_chips = values.get(f"chain_acs{number}")
        board = Board(
            number=number,
            rate_ths=reading.number("hashrate_ths", values.get(f"chain_rate{number}"), GHS),
            chips=good_chips(map_of_chips, chips),
            chips_expected=chips,
            chip_c=reading.hottest(sensors(values, present(values, f"temp2_{number}", f"temp_chip{number}"))),
            board_c=reading.hottest(sensors(values, present(values, f"temp{number}", f"temp_pcb{number}"))),
            errors=reading.count("hardware_errors", values.get(f"chain_hw{number}")),
        )
        if board.rate_ths is not None:
            board.rate_ths = round(board.rate_ths, 2)
        found.append(board)
    return found


def present(values: Fields, *names: str) -> list[str]:
    return [name for name in names if name in values]


def good_chips(map_of_chips: object, chips: int) -> int:
    """Chips that the map `ooo oxo` shows as good; all of them where there is no map."""
    if not isinstance(map_of_chips, str) or "o" not in map_of_chips[:MAX_MAP]:
        return chips
    return min(map_of_chips[:MAX_MAP].count("o"), chips)
