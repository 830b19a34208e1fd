"""Cells of a spreadsheet of machines: strict when read, harmless to a spreadsheet program when written.

Each `clean` returns the value or raises ValueError with what is wrong; each `render` returns text.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from ipaddress import ip_address
from typing import Any

from import_export.widgets import Widget

from hosting.states import MinerStatus

# A spreadsheet program runs a cell that starts like this as a formula; a quote before it makes it text.
FORMULA = re.compile(r"[=+\-@\t\r]")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
YES, NO = frozenset({"yes", "true", "1", "on"}), frozenset({"no", "false", "0", "off"})


class TextCell(Widget):
    """Text without surrounding blanks; None when empty. Takes numbers too: a spreadsheet makes one of serial 4711."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if value is None:
            return None
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        text = text.strip(" ")
        if text.startswith("'") and FORMULA.match(text[1:]):
            text = text[1:]
        if CONTROL.search(text):
            raise ValueError("Remove the control characters.")
        return text.strip() or None

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        text = "" if value is None else str(value)
        return f"'{text}" if FORMULA.match(text) else text


class NaturalKey(TextCell):
    """A row of another table by the name that people use; the value is its id."""

    def __init__(self, what: str, rows: Callable[[], Iterable[tuple[Any, str]]]) -> None:
        super().__init__()
        self.what = what
        self.rows = rows

    @cached_property
    def names(self) -> dict[Any, str]:
        return dict(self.rows())

    @cached_property
    def ids(self) -> dict[str, list[Any]]:
        """Ids by name, and by the name in lower case where that is another."""
        found: dict[str, list[Any]] = {}
        for row_id, name in self.names.items():
            for spelling in {name, name.casefold()}:
                found.setdefault(spelling, []).append(row_id)
        return found

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value)
        if text is None:
            return None
        ids = self.ids.get(text) or self.ids.get(text.casefold(), [])
        if len(ids) > 1:
            raise ValueError(f"There are {len(ids)} {self.what}s named {text!r}: rename one first.")
        if not ids:
            close = get_close_matches(text.casefold(), self.ids, n=1)
            hint = f" Did you mean {self.names[self.ids[close[0]][0]]!r}?" if close else ""
            raise ValueError(f"There is no {self.what} {text!r}.{hint}")
        return ids[0]

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return super().render(self.names.get(value))


class StatusCell(TextCell):
    """One of the known statuses; None when empty."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value)
        if text is not None and text.lower() not in MinerStatus.values:
            raise ValueError(f"{text!r} is no status: use one of {', '.join(MinerStatus.values)}.")
        return text and text.lower()


class AddressCell(TextCell):
    """An IP address in its usual spelling, so that one machine cannot hide behind two."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value)
        try:
            return text and str(ip_address(text))
        except ValueError:
            raise ValueError(f"{text!r} is no IP address.") from None


class PortCell(TextCell):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value)
        if text is not None and not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
            raise ValueError(f"{text!r} is no TCP port: use 1 to 65535.")
        return text and int(text)


class YesNoCell(TextCell):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value)
        if text is not None and text.lower() not in YES | NO:
            raise ValueError(f"{text!r} is neither yes nor no.")
        return None if text is None else text.lower() in YES

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "yes" if value else "no"


class DateCell(TextCell):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(value, datetime):
            return value.date()
        text = super().clean(value)
        try:
            return text and date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no date: write it as 2026-11-23.") from None
