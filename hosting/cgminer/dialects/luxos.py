"""LuxOS: rates in `summary`, the rest in small commands. `power` gives watts at the wall, the firmware's guess with `PSU: false`.

Its `stats` look like stock Antminer's, but the chips' sensors in them are zero.
"""

from collections.abc import Mapping

from hosting.cgminer.dialects.boards import boards_of_devs, hottest_board, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Replies, described, entries, first, text, version_key
from hosting.cgminer.reading import Reading

MAKE = "LuxOS"
NEEDS = ("summary", "temps", "fans", "power")
ASKS_ONCE = ("version", "config")
DETAILS = ("devs",)

SOFTWARE = "LUXminer"
CORNERS = ("TopLeft", "TopRight", "BottomLeft", "BottomRight", "Board", "Exhaust", "Outlet")


def recognises(replies: Replies) -> bool:
    return (
        described(replies, SOFTWARE)
        or version_key(replies, SOFTWARE) is not None
        or any(SOFTWARE in entry for entry in entries(replies, "stats"))
    )


def parse(replies: Replies) -> Reading:
    summary, version = first(replies, "summary"), first(replies, "version")
    stats = entries(replies, "stats")
    header = version or next((entry for entry in stats if SOFTWARE in entry), {})
    config = first(replies, "config")
    reading = Reading(make=MAKE, model=text(header.get("Type")), firmware=text(header.get(SOFTWARE)))
    asleep = str(config.get("CurtailMode", "")).lower() == "sleep"
    set_rates(reading, summary, *stats, asleep=asleep)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Elapsed"))
    reading.temperature_c = reading.hottest(entry.get("Chip") for entry in entries(replies, "temps"))
    reading.fan_rpm = reading.fans(entry.get("RPM") for entry in entries(replies, "fans") if "RPM" in entry)
    reading.set_power(first(replies, "power").get("Watts"))
    return reading


def labels(replies: Replies) -> Mapping[str, str]:
    """What each column of `temps` measures, as the reply itself says: `{"Label": "Board Intake", "TopRight": ""}`."""
    reply = replies.get("temps") or {}
    rows = reply.get("METADATA")
    found: dict[str, str] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(label := row.get("Label"), str):
            found |= {str(column): label for column in row if column != "Label"}
    return found


def detail(reading: Reading, replies: Replies) -> None:
    reading.boards = boards_of_devs(reading, replies, temperature_is_board=False)
    by_number = {board.number: board for board in reading.boards}
    named = labels(replies)
    sensors: list[object] = []
    inlet: list[object] = []
    for entry in entries(replies, "temps"):
        of_board = [value for column, value in entry.items() if is_board(column, named)]
        sensors += of_board
        inlet += [value for column, value in entry.items() if "inlet" in named.get(column, "").lower()]
        number = entry.get("ID")
        if type(number) is int and (board := by_number.get(number)) is not None:
            board.board_c, board.chip_c = reading.hottest(of_board), reading.temperature(entry.get("Chip"))
    reading.board_temperature_c = hottest_board(reading, sensors)
    reading.inlet_temperature_c = reading.hottest(inlet)
    set_pool(reading, replies)


def is_board(column: str, named: Mapping[str, str]) -> bool:
    """Sensors of the boards; a hydro machine's columns may be its water."""
    return column in CORNERS and "water" not in named.get(column, "").lower()
