"""Whether an order was carried out, judged by what the machine measures afterwards; a pure function of readings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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


def proves(
    order: Order,
    before: Evidence,
    after: Sequence[Evidence],
    *,
    watts: int | None = None,
    running_w: float | None = None,
    light: bool = True,
) -> bool:
    """Whether the readings since the order, oldest first, prove it done; what is not known proves nothing.

    `before` is the last reading before the order. `watts` is what a power limit was set to, `running_w` what the machine
    measures when it hashes, `light` what LOCATE switched it to. The light counts as proved by the machine's word where its
    state cannot be read.
    """
    seen = [reading for reading in after if reading.answered]
    if not seen:  # who does not answer is neither asleep nor awake
        return False
    if order is Order.SLEEP:
        return _fell_asleep(before, seen)
    if order is Order.WAKE:
        return _woke_up(seen, running_w)
    if order is Order.REBOOT:
        return _rebooted(before, after)
    if order is Order.POWER_LIMIT:
        now_w = seen[-1].measured_w
        return watts is not None and now_w is not None and now_w <= watts * (1 + LIMIT_TOLERANCE)
    return seen[-1].blinking in {None, light}


def _fell_asleep(before: Evidence, seen: Sequence[Evidence]) -> bool:
    """By the meter where there is one: a machine that hashes nothing and draws everything is broken, not asleep."""
    now_w = seen[-1].measured_w
    if before.measured_w is not None and now_w is not None and _ran(before):
        return now_w <= ASLEEP_BELOW * before.measured_w
    return _twice(not _hashes(reading) for reading in seen if reading.hashrate_ths is not None)


def _ran(before: Evidence) -> bool:
    """Whether the power before is that of a machine at work; a sleeping one's cannot be halved."""
    return before.hashrate_ths is None or _hashes(before)


def _woke_up(seen: Sequence[Evidence], running_w: float | None) -> bool:
    rates = [reading for reading in seen if reading.hashrate_ths is not None]
    if rates:  # fans and boards that warm up draw power before the first hash
        return _twice(_hashes(reading) for reading in rates)
    now_w = seen[-1].measured_w
    return running_w is not None and now_w is not None and now_w > AWAKE_ABOVE * running_w


def _rebooted(before: Evidence, after: Sequence[Evidence]) -> bool:
    """It counts its uptime from the beginning again, or it was gone and is back with less uptime than it would have."""
    gone = False
    for reading in after:
        if not reading.answered:
            gone = True
        elif before.uptime_s is None or reading.uptime_s is None:
            if gone:
                return True
        elif reading.uptime_s < before.uptime_s or (gone and _younger(before, reading)):
            return True
    return False


def _younger(before: Evidence, now: Evidence) -> bool:
    if before.uptime_s is None or now.uptime_s is None:
        return False
    passed_s = (now.at - before.at).total_seconds()
    return now.uptime_s < before.uptime_s + passed_s - UPTIME_SLACK_S


def _hashes(reading: Evidence) -> bool:
    return reading.hashrate_ths is not None and reading.hashrate_ths > NO_HASHRATE_THS


def _twice(answers: Iterable[bool]) -> bool:
    """Whether the last two answers are yes: one zero is a hiccup."""
    last = list(answers)[-2:]
    return len(last) == 2 and all(last)
