"""Boards, pools and error codes under the names that several makes share."""

from collections.abc import Iterable, Sequence

from hosting.cgminer.dialects.rates import WINDOWS
from hosting.cgminer.dialects.sections import LONGEST_LIST, Fields, Replies, entries, text
from hosting.cgminer.reading import Board, Reading

CODES = 64  # an "overflowing" error list of a broken machine is not worth more


def rate(reading: Reading, entry: Fields) -> float | None:
    """The shortest window that the entry has, TH/s."""
    for name, factor in WINDOWS:
        if name in entry and (value := reading.number("hashrate_ths", entry[name], factor)) is not None:
            return round(value, 2)
    return None


def boards_of_devs(reading: Reading, replies: Replies, *, temperature_is_board: bool = True) -> list[Board]:
    """`devs` or `edevs`, where each device is a hash board."""
    devices = entries(replies, "devs") or entries(replies, "edevs")
    found = []
    for position, entry in enumerate(devices[:LONGEST_LIST]):
        board_c = reading.temperature(entry.get("Temperature")) if temperature_is_board else None
        board = Board(
            number=number_of(entry, position),
            rate_ths=rate(reading, entry),
            chips=reading.count("chips", entry.get("Effective Chips")),
            chip_c=reading.temperature(entry.get("Chip Temp Max")),
            board_c=board_c,
            errors=reading.count("hardware_errors", entry.get("Hardware Errors")),
        )
        found.append(board)
    return found


def number_of(entry: Fields, position: int) -> int:
    for name in ("ID", "Slot", "ASC"):
        value = entry.get(name)
        if type(value) is int and 0 <= value < LONGEST_LIST:
            return value
    return position


def hottest_board(reading: Reading, raws: Iterable[object] = ()) -> float | None:
    """The hottest of these sensors and of the boards that are known."""
    best = reading.hottest(raws)
    told = [board.board_c for board in reading.boards if board.board_c is not None]
    return max([*told, *([] if best is None else [best])], default=None)


def set_pool(reading: Reading, replies: Replies) -> None:
    """The pool that is being mined for, from `pools`: the active one, else the first that is alive."""
    pools = entries(replies, "pools")
    active = next((pool for pool in pools if pool.get("Stratum Active") is True), None)
    alive = active or next((pool for pool in pools if pool.get("Status") == "Alive"), None)
    if alive is not None:
        reading.pool_url, reading.pool_worker = text(alive.get("URL")), text(alive.get("User"))


def codes(raws: Sequence[object]) -> list[str]:
    """Error codes as short texts, without zeros and repeats."""
    found: dict[str, None] = {}
    for raw in raws[:CODES]:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            continue
        code = text(str(raw)[:80]) or ""
        if code.strip("0"):
            found[code] = None
    return list(found)
