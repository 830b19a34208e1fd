"""What kinds tell the dwell, and what the dwell tells the service."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class BadSettings(ValueError):
    """A rule's settings cannot be; the message says which and what to give."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Want(StrEnum):
    """CURTAIL and RELEASE count windows; KEEP is the band between them; UNKNOWN is that nobody knows, and changes nothing."""

    CURTAIL = "curtail"
    RELEASE = "release"
    KEEP = "keep"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one kind wants now. `at_once` does not wait for windows; `mw` None is the rule's own target."""

    want: Want
    why: str
    at_once: bool = False
    until: datetime | None = None
    mw: Decimal | None = None


class Act(StrEnum):
    START = "start"
    EXTEND = "extend"  # goes on: the condition holds, and the service looks whether target and end still fit
    STOP = "stop"
    HOLD = "hold"  # nothing changes, whether machines are off or on


@dataclass(frozen=True, slots=True)
class Decision:
    act: Act
    why: str
    until: datetime | None = None
    mw: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many windows of which length must agree, and how fast a rule may change its mind."""

    window: timedelta
    windows_above: int
    windows_below: int
    min_on: timedelta
    min_off: timedelta
    cool_down: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Memory:
    """What an evaluation leaves to the next one; it lives in columns of the rule and survives every restart.

    `rests` is that the last stretch was ended by its longest time or by a person, so that the cool-down counts after it.
    """

    active_since: datetime | None = None
    ended_at: datetime | None = None
    rests: bool = False
    window: datetime | None = None  # start of the last window that was counted
    above: int = 0
    below: int = 0

    @property
    def active(self) -> bool:
        return self.active_since is not None
