"""Whether an order was carried out, judged by what the machine measures afterwards; a pure function of readings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from hosting.control.orders import Order

# A sleeping machine draws a few watts, a hashing one thousands: half of before tells them apart on every make.
ASLEEP_BELOW = 0.5
AWAKE_ABOVE = 0.5
# Estimates of idle boards and rounding leave crumbs; a hashing machine does hundreds of this.
NO_HASHRATE_THS = 0.5
# Firmware steers towards the limit and swings around it.
LIMIT_TOLERANCE = 0.1
# A clock that runs a little slow is no reboot.
UPTIME_SLACK_S = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reading of one machine.

    `power_measured` says that the watts are the machine's own figure and no estimate of ours. `hashrate_ths` is of a short
    window (5 s to 1 min) and None where the machine reports a session average only. `answered` is False when nobody answered;
    then all else is None. `blinking` is the light's state where it can be read.
    """

    at: datetime
    power_w: float | None = None
    power_measured: bool = False
    hashrate_ths: float | None = None
    answered: bool = True
    uptime_s: int | None = None
    blinking: bool | None = None

    @property
    def measured_w(self) -> float | None:
        return self.power_w if self.power_measured else None


def proves(order: Order, before: Evidence, after: Sequence[Evidence], *, watts: int | None = None) -> bool:
    """Whether the readings since the order, oldest first, prove it done; what cannot be known proves nothing.

    A machine that does not answer is neither asleep nor awake. `watts` is what a power limit was set to. The light counts as
    proved by the machine's word where its state cannot be read.
    """
    seen = [reading for reading in after if reading.answered]
    if not seen:
        return False
    if order is Order.SLEEP:
        return _fell_asleep(before, seen)
    if order is Order.WAKE:
        return _woke_up(before, seen)
    if order is Order.REBOOT:
        return _rebooted(before, after)
    if order is Order.POWER_LIMIT:
        return watts is not None and _keeps_limit(watts, seen)
    return seen[-1].blinking is not False


def _fell_asleep(before: Evidence, seen: Sequence[Evidence]) -> bool:
    running_w, now_w = before.measured_w, seen[-1].measured_w
    if running_w is not None and now_w is not None:
        return now_w <= ASLEEP_BELOW * running_w
    return _twice(not _hashes(reading) for reading in seen if reading.hashrate_ths is not None)


def _woke_up(before: Evidence, seen: Sequence[Evidence]) -> bool:
    return _twice(_hashes(reading) for reading in seen if reading.hashrate_ths is not None)


def _rebooted(before: Evidence, after: Sequence[Evidence]) -> bool:
    raise NotImplementedError


def _keeps_limit(watts: int, seen: Sequence[Evidence]) -> bool:
    return seen[-1].measured_w is not None and seen[-1].measured_w <= watts * (1 + LIMIT_TOLERANCE)


def _hashes(reading: Evidence) -> bool:
    return reading.hashrate_ths is not None and reading.hashrate_ths > NO_HASHRATE_THS


def _twice(answers: Iterable[bool]) -> bool:
    """Whether the last two answers are yes: one zero is a hiccup."""
    last = list(answers)[-2:]
    return len(last) == 2 and all(last)
