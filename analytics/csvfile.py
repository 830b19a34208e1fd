"""Reading a market history from CSV: a header, one row per moment, bad rows named and left out. Pure."""

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from analytics.figures import Figures, figures
from analytics.hashprice import subsidy_btc
from analytics.providers.quotes import MAX_DIFFICULTY, MAX_FEES_BTC, MAX_HEIGHT, MAX_PRICE, MAX_VOLUME

MAX_HASHRATE_EHS = Decimal("99999999.99")
NAMES = {
    "time": ("time", "created_at", "timestamp", "date"),
    "btc_price": ("btc_price", "price", "close"),
    "network_difficulty": ("network_difficulty", "difficulty"),
    "network_hashrate": ("network_hashrate",),
    "block_height": ("block_height", "height"),
    "block_reward": ("block_reward",),
    "fees_btc": ("fees_btc",),
    "volume_24h": ("volume_24h", "volume"),
}
# Lowest and highest value of a column; True where the lowest itself is too low.
BOUNDS: dict[str, tuple[Decimal, bool]] = {
    "btc_price": (MAX_PRICE, True),
    "network_difficulty": (MAX_DIFFICULTY, True),
    "network_hashrate": (MAX_HASHRATE_EHS, False),
    "block_height": (Decimal(MAX_HEIGHT), False),
    "block_reward": (Decimal(50), False),
    "fees_btc": (MAX_FEES_BTC, False),
    "volume_24h": (MAX_VOLUME, False),
}
EARLIEST, LATEST = datetime(2009, 1, 3, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class BadFile(ValueError):
    """Nothing of the file can be used; the message says why."""


class _BadRow(ValueError):
    pass


def read_rows(lines: Iterable[str], tell_bad: Callable[[int, str], None]) -> Iterator[tuple[datetime, Figures]]:
    """Each good row as it comes; `tell_bad` gets the line's number and the reason of each other one. Raises BadFile."""
    reader = csv.reader(lines)
    try:
        columns = _columns(next(reader, []))
    except csv.Error as error:
        raise BadFile(f"The first line is no CSV: {error}.") from None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            tell_bad(reader.line_num, f"no CSV: {error}")
            continue
        if row is None:
            return
        if not any(row):
            continue
        try:
            yield _read(row, columns)
        except _BadRow as bad:
            tell_bad(reader.line_num, str(bad))


def _columns(header: list[str]) -> list[str]:
    known = {alias: name for name, aliases in NAMES.items() for alias in aliases}
    found = [cell.strip().lstrip("\ufeff").lower() for cell in header]
    unknown = [cell for cell in found if cell not in known]
    if unknown:
        raise BadFile(f"There is no column {unknown[0]!r}: the first line must name some of {', '.join(NAMES)}.")
    columns = [known[cell] for cell in found]
    missing = {"time", "btc_price"} - set(columns)
    if missing:
        raise BadFile(f"The first line lacks {' and '.join(sorted(missing))}; it may name {', '.join(NAMES)}.")
    if len(set(columns)) < len(columns):
        raise BadFile("The first line names a column twice.")
    return columns


def _read(row: list[str], columns: list[str]) -> tuple[datetime, Figures]:
    if len(row) != len(columns):
        raise _BadRow(f"{len(row)} fields where the first line has {len(columns)}")
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    at = _moment(cells.pop("time"))
    values = {name: _number(name, cell) for name, cell in cells.items() if cell}
    if "btc_price" not in values:
        raise _BadRow("btc_price is empty")
    height = values.pop("block_height", None)
    if height is not None:
        if height != int(height):
            raise _BadRow(f"block_height {height} is no whole number")
        if values.setdefault("block_reward", subsidy_btc(int(height))) != subsidy_btc(int(height)):
            raise _BadRow(f"block_reward {values['block_reward']} is not that of block {height}")
    known: dict[str, Any] = dict(values)
    found = figures(block_height=None if height is None else int(height), **known)
    if not found.btc_price:
        raise _BadRow("btc_price is less than a cent")
    return at, found


def _moment(text: str) -> datetime:
    """ISO 8601, UTC unless it says otherwise, or seconds since 1970."""
    try:
        if text.isascii() and text.isdecimal() and len(text) <= 10 and len(text) > 8:
            at = datetime.fromtimestamp(int(text), UTC)
        else:
            at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadRow(f"time {text[:40]!r} is not like 2026-11-23T10:00:00Z") from None
    if not EARLIEST <= at < LATEST:
        raise _BadRow(f"time {text[:40]!r} is not between 2009 and 2100")
    return at


def _number(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _BadRow(f"{name} {text[:40]!r} is no number") from None
    highest, positive = BOUNDS[name]
    if not value.is_finite() or value < 0 or value > highest or (positive and value == 0):
        raise _BadRow(f"{name} {text[:40]!r} is out of range")
    return value
