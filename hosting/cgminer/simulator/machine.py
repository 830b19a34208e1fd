"""The machine behind the replies: what it does, how warm it is and what it draws, computed from the clock when asked.

There are no timers: a farm of thousands that nobody asks costs nothing.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from hosting.catalogue import ModelSpec

STOPPING_S = 8.0
REBOOTING_S = 30.0
STARTING_S = 45.0
POWER_FALL_S = 2.5  # time constant: 4 % is left when the machine sleeps
WARMING_S = 90.0
LEAST_SHARE = 0.3  # of the nameplate, as a power limit
BOOT_S = 5.0  # of STARTING, before the hash boards get power
FIRST_HASH_S = 15.0  # of STARTING, before the first hash
REBOOT_EVERY_S = (600.0, 1200.0)
DAY_S = 86_400.0


class Phase(StrEnum):
    HASHING = "hashing"
    STOPPING = "stopping"
    SLEEPING = "sleeping"
    STARTING = "starting"
    REBOOTING = "rebooting"


class Fault(StrEnum):
    """What may be wrong with a simulated machine."""

    HANG = "hang"  # accepts, never answers
    REFUSE = "refuse"  # nothing listens
    DRIP = "drip"  # answers a byte at a time
    GARBAGE = "garbage"  # answers what is no reply
    REBOOT = "reboot"  # goes down again and again
    WRONG_CLOCK = "wrong_clock"  # its own clock is years off
    REFUSES_WAKE = "refuses_wake"  # says yes to resume and sleeps on
    FLAKY = "flaky"  # hangs up on one connection in four
    IGNORES = "ignores"  # says yes to every order and does nothing


PASSING = {Phase.STOPPING: STOPPING_S, Phase.REBOOTING: REBOOTING_S, Phase.STARTING: STARTING_S}


@dataclass(frozen=True, slots=True)
class Traits:
    """What makes one machine differ from the next of its model."""

    hashrate_ths: float
    power_w: float
    standby_w: float
    ambient_c: float
    warmth_c: float
    fan_rpm: int
    uptime_s: float
    shares_per_s: float
    wave: float
    reboot_every_s: float
    clock_error_s: int

    @classmethod
    def drawn(cls, spec: ModelSpec, rng: random.Random) -> "Traits":
        hashrate_ths = float(spec.hashrate_ths) * rng.uniform(0.94, 1.03)
        return cls(
            hashrate_ths=hashrate_ths,
            power_w=hashrate_ths * float(spec.efficiency_j_th) * rng.uniform(0.97, 1.04),
            standby_w=rng.uniform(25, 60),
            ambient_c=rng.uniform(18, 30),
            warmth_c=rng.uniform(42, 54),
            fan_rpm=rng.randrange(4800, 6200),
            uptime_s=rng.uniform(3600, 30 * DAY_S),
            shares_per_s=rng.uniform(0.06, 0.1),
            wave=rng.uniform(0, 2 * math.pi),
            reboot_every_s=rng.uniform(*REBOOT_EVERY_S),
            clock_error_s=rng.choice((-1, 1)) * rng.randrange(3 * 365, 20 * 365) * int(DAY_S),
        )


@dataclass(slots=True, eq=False)
class SimulatedMiner:
    """One machine. `speed` makes its seconds pass faster than the clock's; `web_port` is None without a web interface."""

    number: int
    host: str
    port: int
    make: str
    model: ModelSpec
    serial: str
    mac: str
    traits: Traits
    fault: str | None = None
    web_port: int | None = None
    framed_port: int | None = None  # of the Whatsminer API v3
    joins: bool = True  # whether its firmware takes joined commands
    old_firmware: bool = False
    speed: float = 1.0
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    asleep_by_configuration: bool = False  # sleep that outlasts a reboot
    blinking: bool = False
    hears: Callable[["SimulatedMiner", str], None] | None = field(default=None, repr=False)  # told of every order
    limit_w: float | None = None  # what it was told to draw at most
    # The make's own things that last between requests: configuration, tokens, fixed parts of replies.
    memory: dict[str, object] = field(default_factory=dict, repr=False)
    _phase: Phase = Phase.HASHING
    _since: float = 0.0
    _power_then_w: float = 0.0
    _heat_since: float = 0.0
    _heat_then_c: float = 0.0
    _rate_then_ths: float = 0.0
    _booted: float = 0.0
    _hashed_s: float = 0.0
    _next_reboot: float = math.inf
    _later: list[tuple[float, str]] = field(default_factory=list)  # orders for a moment to come
    _epoch: float = 0.0

    def __post_init__(self) -> None:
        self._epoch = self.clock()
        self._booted = -self.traits.uptime_s
        self._hashed_s = self.traits.uptime_s
        self._heat_since = -self.traits.uptime_s
        self._power_then_w = self.traits.power_w
        self._heat_then_c = self.traits.ambient_c
        if self.fault == Fault.REBOOT:
            self._next_reboot = self.traits.reboot_every_s

    # What it is told to do

    def stop(self, in_s: float = 0.0) -> None:
        """Sleep: the boards go dark at once, the power falls within seconds. `in_s` puts the order off."""
        self._hear("sleep")
        self._order("stop", in_s)

    def was_asleep(self) -> None:
        """It has slept for long when it is made."""
        self.keep_asleep(asleep=True)
        self._phase, self._since, self._power_then_w = Phase.SLEEPING, -self.traits.uptime_s, 0.0

    def wake(self, in_s: float = 0.0) -> None:
        """Hash again, tens of seconds from now; a machine that refuses to wake takes the order and sleeps on."""
        self._hear("wake")
        if self.fault != Fault.REFUSES_WAKE:
            self._order("wake", in_s)

    def reboot(self, in_s: float = 0.0) -> None:
        """Go down for half a minute; uptime and counters begin again."""
        self._hear("reboot")
        self._order("reboot", in_s)

    def limit(self, watts: float | None) -> None:
        """Draw so many watts at most, and hash accordingly; None lifts the limit."""
        self._hear("limit")
        if self.fault != Fault.IGNORES:
            self.limit_w = watts

    def blink(self, on: bool) -> None:
        """Switch the light by which people find it."""
        if self.fault != Fault.IGNORES:
            self.blinking = on

    def keep_asleep(self, asleep: bool) -> None:
        """Whether a reboot ends in sleep."""
        if self.fault != Fault.IGNORES and (asleep or self.fault != Fault.REFUSES_WAKE):
            self.asleep_by_configuration = asleep

    def _hear(self, order: str) -> None:
        if self.hears is not None:
            self.hears(self, order)

    def _order(self, order: str, in_s: float) -> None:
        if self.fault == Fault.IGNORES:
            return
        now = self._advance()
        if in_s > 0:
            self._later = sorted([*self._later, (now + in_s, order)])
        else:
            self._obey(order, now)

    def _obey(self, order: str, at: float) -> None:
        if order == "stop" and self._phase in {Phase.HASHING, Phase.STARTING}:
            self._enter(Phase.STOPPING, at)
        elif order == "wake" and self._phase in {Phase.STOPPING, Phase.SLEEPING}:
            self._enter(Phase.STARTING, at)
        elif order == "reboot" and self._phase is not Phase.REBOOTING:
            self._enter(Phase.REBOOTING, at)

    # What it is and does now

    @property
    def phase(self) -> Phase:
        self._advance()
        return self._phase

    @property
    def answers(self) -> bool:
        """False while it reboots."""
        return self.phase is not Phase.REBOOTING

    @property
    def power_w(self) -> float:
        """At the wall; the machine itself may not report it."""
        return self._power_at(self._advance())

    @property
    def hashrate_ths(self) -> float:
        """Over the last five seconds."""
        return self._rate_at(self._advance())

    @property
    def hashrate_avg_ths(self) -> float:
        """Over the session: it stays high long after a stop."""
        now = self._advance()
        elapsed_s = max(now - self._booted, 1.0)
        return self.traits.hashrate_ths * min(self._hashed_at(now) / elapsed_s, 1.0)

    @property
    def chip_c(self) -> float:
        now = self._advance()
        return self._heat_at(now) + 0.8 * self._noise(now, 23)

    @property
    def fan_rpm(self) -> int:
        """Of the first fan; follows the heat."""
        warm = (self.chip_c - self.traits.ambient_c) / self.traits.warmth_c
        return round(self.traits.fan_rpm * (0.35 + 0.65 * min(max(warm, 0.0), 1.1)) / 30) * 30

    @property
    def uptime_s(self) -> int:
        return int(self._advance() - self._booted)

    @property
    def accepted(self) -> int:
        return int(self._hashed_at(self._advance()) * self.traits.shares_per_s)

    @property
    def rejected(self) -> int:
        return self.accepted // 350

    @property
    def hardware_errors(self) -> int:
        return self.accepted // 25

    @property
    def device_time(self) -> int:
        """Its own idea of the time, Unix seconds."""
        wrong_s = self.traits.clock_error_s if self.fault == Fault.WRONG_CLOCK else 0
        return max(int(self.wall_clock()) + wrong_s, 0)

    # How it gets there, in machine time: seconds since it was made, times speed

    def _advance(self) -> float:
        """Let every change that is due happen, and return the machine's time."""
        now = (self.clock() - self._epoch) * self.speed
        while (due := self._next_change()) <= now or (self._later and self._later[0][0] <= now):
            if self._later and self._later[0][0] <= due:
                at, order = self._later.pop(0)
                self._obey(order, at)
            elif self._phase is Phase.STOPPING:
                self._enter(Phase.SLEEPING, due)
            elif self._phase is Phase.STARTING:
                self._enter(Phase.HASHING, due)
            elif self._phase is Phase.REBOOTING:
                self._enter(Phase.SLEEPING if self.asleep_by_configuration else Phase.STARTING, due)
            else:
                self._next_reboot += self.traits.reboot_every_s
                self._enter(Phase.REBOOTING, due)
        return now

    def _next_change(self) -> float:
        lasts_s = PASSING.get(self._phase)
        return max(self._next_reboot, self._since) if lasts_s is None else self._since + lasts_s

    def _enter(self, phase: Phase, at: float) -> None:
        self._power_then_w, self._rate_then_ths = self._power_at(at), self._rate_at(at)
        self._hashed_s = self._hashed_at(at)
        if self._is_hot(phase) != self._is_hot(self._phase):
            self._heat_then_c, self._heat_since = self._heat_at(at), at
        if self._phase is Phase.REBOOTING:
            self._booted, self._hashed_s = at, 0.0
        self._phase, self._since = phase, at

    @staticmethod
    def _is_hot(phase: Phase) -> bool:
        return phase in {Phase.HASHING, Phase.STARTING}

    @property
    def full_power_w(self) -> float:
        """What it draws when it hashes as it may."""
        return min(self.traits.power_w, self.traits.power_w if self.limit_w is None else self.limit_w)

    @property
    def least_w(self) -> float:
        """The lowest limit that its tuner takes."""
        return LEAST_SHARE * float(self.model.power_w)

    @property
    def full_rate_ths(self) -> float:
        return self.traits.hashrate_ths * self.full_power_w / self.traits.power_w

    def _noise(self, at: float, period_s: float) -> float:
        """Between -1 and 1, smooth, the same for the same moment."""
        wave = self.traits.wave
        return 0.6 * math.sin(at / period_s + wave) + 0.4 * math.sin(at / period_s * 3.7 + 2 * wave)

    def _power_at(self, at: float) -> float:
        then_s = at - self._since
        if self._phase is Phase.HASHING:
            return self.full_power_w * (1 + 0.012 * self._noise(at, 37))
        if self._phase is Phase.STARTING:
            part = min(max((then_s - BOOT_S) / (STARTING_S - BOOT_S), 0.0), 1.0)
            return self._power_then_w + (self.full_power_w - self._power_then_w) * part
        standby_w = self.traits.standby_w * (1 + 0.02 * self._noise(at, 37))
        return standby_w + (self._power_then_w - standby_w) * math.exp(-then_s / POWER_FALL_S)

    def _rate_at(self, at: float) -> float:
        then_s = at - self._since
        if self._phase is Phase.HASHING:
            return self.full_rate_ths * (1 + 0.03 * self._noise(at, 9))
        if self._phase is Phase.STARTING:
            return self.full_rate_ths * max((then_s - FIRST_HASH_S) / (STARTING_S - FIRST_HASH_S), 0.0)
        if self._phase is Phase.STOPPING:
            return self._rate_then_ths * max(1 - then_s / 5, 0.0)
        return 0.0

    def _heat_at(self, at: float) -> float:
        hot_c = self.traits.ambient_c + (self.traits.warmth_c if self._is_hot(self._phase) else 2.0)
        return hot_c + (self._heat_then_c - hot_c) * math.exp(-(at - self._heat_since) / WARMING_S)

    def _hashed_at(self, at: float) -> float:
        return self._hashed_s + (at - self._since if self._phase is Phase.HASHING else 0.0)
