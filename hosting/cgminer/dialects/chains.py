"""The newer form of stock Antminer's `stats` and `summary`: `rate_5s`, a list of fans, a list of chains with their sensors."""

from collections.abc import Iterable

from hosting.cgminer.dialects.sections import LONGEST_LIST, Fields, Replies, entries, first, text
from hosting.cgminer.reading import Board, Reading

MAKE = "Antminer"
UNITS = {"GH": 1e-3, "MH": 1e-6, "TH": 1.0}
MAX_TEXT = 200


def recognises(replies: Replies) -> bool:
    return any("chain" in entry and "rate_5s" in entry for entry in entries(replies, "stats")) or (
        "rate_5s" in first(replies, "summary")
    )


def about(replies: Replies) -> Fields:
    """`INFO` of whichever reply has it."""
    for reply in replies.values():
        info = reply.get("INFO")
        if isinstance(info, dict):
            return info
    return first(replies, "version")


def parse(replies: Replies) -> Reading:
    stats = next((entry for entry in reversed(entries(replies, "stats")) if "chain" in entry or "rate_5s" in entry), {})
    summary, info = first(replies, "summary"), about(replies)
    reading = Reading(
        make=MAKE, model=text(info.get("type", info.get("Type"))), firmware=text(info.get("miner_version"))
    )
    factor = UNITS.get(str(stats.get("rate_unit", summary.get("rate_unit", "GH")))[:2].upper(), 1e-3)
    reading.hashrate_ths = rate(reading, "hashrate_ths", (stats, summary), ("rate_5s", "GHS 5s", "rate_30m"), factor)
    reading.hashrate_avg_ths = rate(reading, "hashrate_avg_ths", (stats, summary), ("rate_avg", "GHS av"), factor)
    reading.uptime_s = reading.count("uptime_s", stats.get("elapsed", summary.get("elapsed", summary.get("Elapsed"))))
    reading.accepted = reading.count("accepted", summary.get("Accepted"))
    reading.rejected = reading.count("rejected", summary.get("Rejected"))
    reading.hardware_errors = reading.count("hardware_errors", summary.get("hw_all", summary.get("Hardware Errors")))
    reading.temperature_c = reading.hottest(value for chain in rows(stats) for value in sensors(chain.get("temp_chip")))
    fans = stats.get("fan")
    speeds = reading.fans(fans[:LONGEST_LIST]) if isinstance(fans, list) else []
    count = reading.count("chips", stats.get("fan_num"))
    reading.fan_rpm = speeds if count is None else speeds[:count]
    for key in ("watt", "power", "Power"):
        if key in stats and reading.set_power(stats[key]):
            break
    return reading


def rate(reading: Reading, metric: str, sources: Iterable[Fields], names: Iterable[str], factor: float) -> float | None:
    known = tuple(sources)
    for name in names:
        for source in known:
            if name in source and (value := reading.number(metric, source[name], factor)) is not None:
                return round(value, 2)
    return None


def rows(stats: Fields) -> list[Fields]:
    found = stats.get("chain")
    return [row for row in found[:LONGEST_LIST] if isinstance(row, dict)] if isinstance(found, list) else []


def sensors(told: object) -> list[object]:
    """A list of numbers, of texts such as "58-61-57-60", or one such text."""
    found: list[object] = []
    for value in told[:LONGEST_LIST] if isinstance(told, list) else [told]:
        if isinstance(value, str):
            found += [part for part in value[:MAX_TEXT].split("-") if part]
        else:
            found.append(value)
    return found


def boards(reading: Reading, stats: Fields) -> list[Board]:
    found = []
    for position, chain in enumerate(rows(stats)):
        index = chain.get("index")
        chips = reading.count("chips", chain.get("asic_num"))
        board = Board(
            number=index if type(index) is int and 0 <= index < LONGEST_LIST else position,
            rate_ths=rate(reading, "hashrate_ths", (chain,), ("rate_real",), 1e-3),
            chips=chips,
            chips_expected=chips,
            chip_c=reading.hottest(sensors(chain.get("temp_chip"))),
            board_c=reading.hottest(sensors(chain.get("temp_pcb"))),
            errors=reading.count("hardware_errors", chain.get("hw")),
        )
        found.append(board)
    return found
