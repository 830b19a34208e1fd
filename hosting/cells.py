"""Cells of a spreadsheet of machines: strict when read, harmless to a spreadsheet program when written.

Each `clean` returns the value or raises ValueError with what would be right; each `render` returns text. `harmless` and
`original` are each other's inverse: whatever text there is comes back to the byte.
"""

import re
from datetime import date, datetime
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, ClassVar

from hosting.states import MinerStatus

# A spreadsheet program may run a cell that starts like this, full-width forms included; a quote before it makes it text.
FORMULA = re.compile(r"'*[=+\-@|%\t\r\n＝＋－＠]")
QUOTED = re.compile(r"'+[=+\-@|%\t\r\n＝＋－＠]")
# C0, C1 and what turns the direction of text around.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
LONGEST = 200
YES, NO = frozenset({"yes", "true", "1", "on"}), frozenset({"no", "false", "0", "off"})


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def original(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if QUOTED.match(cell) else cell


def plain(cell: object) -> str:
    """A cell of any kind as text: workbooks hold numbers, dates and truth where a CSV file holds text."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat(" ")
    return str(cell)


class Cell:
    """Text without surrounding blanks; None when empty."""

    def clean(self, text: str) -> Any:
        text = original(text.strip(" ")).strip()
        if CONTROL.search(text):
            raise ValueError("Remove the control characters.")
        if len(text) > LONGEST:
            raise ValueError(f"Use at most {LONGEST} characters.")
        return text or None

    def render(self, value: Any) -> str:
        return harmless("" if value is None else str(value))


class NameCell(Cell):
    """A row of another table by the name that people use; the value is its id."""

    def __init__(self, what: str, names: dict[Any, str]) -> None:
        self.what = what
        self.names = names
        self.ids: dict[str, list[Any]] = {}  # by name, and by the name without capitals where that is another
        for row_id, name in names.items():
            for spelling in {name, name.casefold()}:
                self.ids.setdefault(spelling, []).append(row_id)

    def clean(self, text: str) -> Any:
        name = super().clean(text)
        if name is None:
            return None
        ids = self.ids.get(name) or self.ids.get(name.casefold(), [])
        if len(ids) > 1:
            raise ValueError(f"There are {len(ids)} {self.what}s named {name!r}: rename one first.")
        if not ids:
            raise ValueError(f"There is no {self.what} {name!r}.{self._hint(name)}")
        return ids[0]

    def _hint(self, name: str) -> str:
        if close := get_close_matches(name.casefold(), self.ids, n=1):
            return f" Did you mean {self.names[self.ids[close[0]][0]]!r}?"
        return (
            f" There is: {', '.join(list(self.names.values())[:5])}." if self.names else f" Add the {self.what} first."
        )

    def render(self, value: Any) -> str:
        return super().render(self.names.get(value))


class StatusCell(Cell):
    def clean(self, text: str) -> str | None:
        status: str | None = super().clean(text)
        if status is not None and status.lower() not in MinerStatus.values:
            raise ValueError(f"{status!r} is no status: use one of {', '.join(MinerStatus.values)}.")
        return status and status.lower()


class AddressCell(Cell):
    """An IP address in its usual spelling, so that one machine cannot hide behind two."""

    def clean(self, text: str) -> str | None:
        address: str | None = super().clean(text)
        try:
            return address and str(ip_address(address))
        except ValueError:
            raise ValueError(f"{address!r} is no IP address: write it as 10.1.2.3.") from None


class NumberCell(Cell):
    """A whole number; an empty cell is `empty`."""

    def __init__(self, what: str, least: int, most: int, *, empty: int | None = None) -> None:
        self.what, self.least, self.most, self.empty = what, least, most, empty

    def clean(self, text: str) -> int | None:
        number: str | None = super().clean(text)
        if number is None:
            return self.empty
        if not (number.isascii() and number.isdecimal() and self.least <= int(number[:9]) <= self.most):
            raise ValueError(f"{number!r} is no {self.what}: use {self.least} to {self.most}.")
        return int(number)


class YesNoCell(Cell):
    def clean(self, text: str) -> bool:
        word: str | None = super().clean(text)
        if word is not None and word.lower() not in YES | NO:
            raise ValueError(f"{word!r} is neither yes nor no.")
        return word is not None and word.lower() in YES

    def render(self, value: Any) -> str:
        return "yes" if value else "no"


class DateCell(Cell):
    EXAMPLE: ClassVar[str] = "2026-11-23"

    def clean(self, text: str) -> date | None:
        day: str | None = super().clean(text)
        try:
            return date.fromisoformat(day.removesuffix(" 00:00:00")) if day else None
        except ValueError:
            raise ValueError(f"{day!r} is no date: write it as {self.EXAMPLE}.") from None
