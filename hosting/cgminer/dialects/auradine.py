"""Auradine (Teraflux): a program of its own; chips and boards in `temperature`, the wall's watts in `psu`."""

from hosting.cgminer.dialects.boards import boards_of_devs, hottest_board, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Replies, described, entries, first, text, version_key
from hosting.cgminer.reading import Reading

MAKE = "Auradine"
NEEDS = ("summary", "temperature", "fan", "psu")
ASKS_ONCE = ("version",)
DETAILS = ("devs",)

SOFTWARE = "GCMiner"


def recognises(replies: Replies) -> bool:
    return described(replies, SOFTWARE) or version_key(replies, SOFTWARE) is not None


def parse(replies: Replies) -> Reading:
    summary = first(replies, "summary")
    version = first(replies, "version")
    reading = Reading(make=MAKE, model=text(version.get("Type")), firmware=text(version.get(SOFTWARE)))
    set_rates(reading, summary)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Elapsed"))
    reading.temperature_c = reading.hottest(sensors(replies, "ChipTemp"))
    reading.fan_rpm = reading.fans(entry.get("Speed") for entry in entries(replies, "fan") if "Speed" in entry)
    supplies = [reading.number("power_w", entry.get("PowerIn")) for entry in entries(replies, "psu")]
    if known := [watts for watts in supplies if watts is not None]:
        reading.set_power(sum(known))
    return reading


def sensors(replies: Replies, kind: str, name: str = "Hash Board") -> list[object]:
    """The hash boards' sensors of that kind."""
    found: list[object] = []
    for entry in entries(replies, "temperature"):
        rows = entry.get(kind)
        if isinstance(rows, list) and str(entry.get("Name", name)).startswith(name):
            found += [row.get("Temperature") for row in rows if isinstance(row, dict)]
    return found


def detail(reading: Reading, replies: Replies) -> None:
    reading.boards = boards_of_devs(reading, replies)
    reading.board_temperature_c = hottest_board(reading, sensors(replies, "BoardTemp"))
    set_pool(reading, replies)
