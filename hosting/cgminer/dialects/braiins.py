"""Braiins OS (BOSminer, BOSer): temperatures, fans and power in commands of their own.

`tunerstatus` gives the watts of the whole miner beside its limit, which is a wish and no measurement.
"""

from hosting.cgminer.dialects.boards import boards_of_devs, hottest_board, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Replies, described, entries, first, text, version_key
from hosting.cgminer.reading import Board, Reading

MAKE = "Braiins OS"
NEEDS = ("summary", "temps", "fans", "tunerstatus")
ASKS_ONCE = ("version", "devdetails")
DETAILS = ("devs", "devdetails")

SOFTWARE = ("BOSminer", "BOSer", "bOSminer")
PAUSED = ("paused", "stopped")


def recognises(replies: Replies) -> bool:
    if described(replies, *SOFTWARE) or version_key(replies, "BOS") is not None:
        return True
    return any("ApproximateMinerPowerConsumption" in entry for entry in entries(replies, "tunerstatus"))


def parse(replies: Replies) -> Reading:
    summary, details = first(replies, "summary"), first(replies, "devdetails")
    tuner = first(replies, "tunerstatus")
    reading = Reading(make=MAKE, model=text(details.get("Model")), firmware=version_key(replies, "BOS"))
    set_rates(reading, summary, asleep=paused(tuner.get("TunerChainStatus")))
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Elapsed"))
    reading.temperature_c = reading.hottest(entry.get("Chip") for entry in entries(replies, "temps"))
    reading.fan_rpm = fans(reading, replies)
    reading.set_power(tuner.get("ApproximateMinerPowerConsumption"))
    return reading


def paused(chains: object) -> bool:
    """Whether every chain says that it was told to rest."""
    if not isinstance(chains, list):
        return False
    states = [str(chain.get("Status", "")).lower() for chain in chains if isinstance(chain, dict)]
    return bool(states) and all(state.startswith(PAUSED) for state in states)


def fans(reading: Reading, replies: Replies) -> list[int]:
    """Four slots are always told: the second pair is empty where it stands and the first turns."""
    speeds = reading.fans(entry.get("RPM") for entry in entries(replies, "fans") if "RPM" in entry)
    half = len(speeds) // 2
    return speeds[:half] if all(speeds[:half]) and not any(speeds[half:]) else speeds


def detail(reading: Reading, replies: Replies) -> None:
    reading.boards = boards_of_devs(reading, replies, temperature_is_board=False)
    by_number = {board.number: board for board in reading.boards}
    for entry in entries(replies, "temps"):
        number = entry.get("ID")
        if type(number) is not int:
            continue
        board = by_number.get(number)
        if board is None:
            board = by_number[number] = Board(number)
            reading.boards.append(board)
        board.chip_c, board.board_c = reading.temperature(entry.get("Chip")), reading.temperature(entry.get("Board"))
    for entry in entries(replies, "devdetails"):
        number = entry.get("ID")
        if type(number) is int and (board := by_number.get(number)) is not None:
            board.chips = reading.count("chips", entry.get("Chips"))
    reading.board_temperature_c = hottest_board(reading)
    set_pool(reading, replies)
