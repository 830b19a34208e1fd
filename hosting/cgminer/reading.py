"""One reading of one machine, in the trade's units; what is unknown is None, never zero."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from hosting.catalogue import find_model


class ReadError(StrEnum):
    """Why a machine gave no reading."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    BAD_JSON = "bad_json"
    TOO_BIG = "too_big"
    UNSUPPORTED = "unsupported"


class PowerSource(StrEnum):
    MINER = "miner"
    ESTIMATE = "estimate"


MOST_OF_A_COUNTER = 10**15
# Inclusive ranges of what can be believed; the database has the same as CHECK constraints.
RANGES: dict[str, tuple[float, float]] = {
    "hashrate_ths": (0, 5_000),
    "hashrate_avg_ths": (0, 5_000),
    "power_w": (0, 20_000),
    "temperature_c": (-40, 200),
    "fan_rpm": (0, 20_000),
    "chips": (0, 10_000),
    "uptime_s": (0, MOST_OF_A_COUNTER),
    "accepted": (0, MOST_OF_A_COUNTER),
    "rejected": (0, MOST_OF_A_COUNTER),
    "hardware_errors": (0, MOST_OF_A_COUNTER),
}
# What firmware writes where a sensor or a meter gives nothing.
PLACEHOLDERS: dict[str, frozenset[float]] = {"temperature_c": frozenset({-273, -1, 0}), "power_w": frozenset({-1})}
NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(?:W|V|C|RPM|GH/s|%)?\s*", re.IGNORECASE)
NOT_FINITE = {"nan": "nan", "inf": "infinite", "infinity": "infinite"}
LONGEST_NUMBER = 40


@dataclass(slots=True)
class Board:
    """One hash board: rate in TH/s, chips that answer and should, hottest chip and the board itself in °C, nonce errors.

    Avalon tells a board's session average only.
    """

    number: int
    rate_ths: float | None = None
    chips: int | None = None
    chips_expected: int | None = None
    chip_c: float | None = None
    board_c: float | None = None
    errors: int | None = None

    def known(self) -> bool:
        """Whether it tells anything."""
        told = (self.rate_ths, self.chips, self.chip_c, self.board_c)
        return any(value is not None for value in told)


@dataclass(slots=True)
class Reading:
    """Rates in TH/s (`hashrate_ths` is the shortest window that is reported), power at the wall in W, hottest chip in °C.

    `boards` to `pool_worker` are filled in only when details are asked for; `errors` are the maker's own codes.
    """

    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    hashrate_ths: float | None = None
    hashrate_avg_ths: float | None = None
    power_w: float | None = None
    power_source: PowerSource | None = None
    temperature_c: float | None = None
    fan_rpm: list[int] = field(default_factory=list)
    uptime_s: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    hardware_errors: int | None = None
    device_time: int | None = None
    rejected_values: dict[str, str] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    hashrate_averaged: bool = False  # `hashrate_ths` is the session's average or a promise, for want of a window
    board_temperature_c: float | None = None
    inlet_temperature_c: float | None = None
    boards: list[Board] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    pool_url: str | None = None
    pool_worker: str | None = None

    def set_power(self, raw: object) -> bool:
        """Take the wall power that the machine reports; False when that is none. Zero of a hashing machine is no meter."""
        watts = self.number("power_w", raw)
        if watts is None or (watts == 0 and self.hashrate_ths):
            return False
        self.power_w, self.power_source = watts, PowerSource.MINER
        return True

    def temperature(self, raw: object) -> float | None:
        return self.hottest((raw,))

    def number(self, metric: str, raw: object, factor: float = 1.0) -> float | None:
        """`raw * factor`, or None with a counted reason when it cannot be believed; absent is just None."""
        if raw is None or raw == "":
            return None
        value = raw if type(raw) is float or type(raw) is int else as_float(raw)
        if isinstance(value, str):
            self.rejected_values[metric] = value
            return None
        if metric in PLACEHOLDERS and value in PLACEHOLDERS[metric]:
            return None
        scaled = value * factor
        low, high = RANGES[metric]
        if not low <= scaled <= high:
            self.rejected_values[metric] = "out_of_range"
            return None
        return round(scaled, 4)

    def count(self, metric: str, raw: object) -> int | None:
        if type(raw) is int and 0 <= raw <= MOST_OF_A_COUNTER:
            return raw
        value = self.number(metric, raw)
        return None if value is None else int(value)

    def hottest(self, raws: Iterable[object]) -> float | None:
        """The highest believable temperature; placeholders and nonsense do not take part."""
        low, high = RANGES["temperature_c"]
        unknown = PLACEHOLDERS["temperature_c"]
        best: float | None = None
        for raw in raws:
            value: float | None
            if type(raw) is int and low <= raw <= high:  # nearly all of them, and there are 20 in a reply
                value = None if raw in unknown else float(raw)
            else:
                value = self.number("temperature_c", raw)
            if value is not None and (best is None or value > best):
                best = value
        return best

    def fans(self, raws: Iterable[object]) -> list[int]:
        high = RANGES["fan_rpm"][1]
        found = []
        for raw in raws:
            value = raw if type(raw) is int and 0 <= raw <= high else self.number("fan_rpm", raw)
            if value is not None:
                found.append(int(value))
        return found


def as_float(raw: object) -> float | str:
    """The number, also of a string such as "3250 W"; or the reason why there is none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return "not_a_number"
    if isinstance(raw, str):
        text = raw.strip().lower()
        if reason := NOT_FINITE.get(text.lstrip("+-")):
            return reason
        match = NUMBER.fullmatch(raw) if len(raw) <= LONGEST_NUMBER else None
        if match is None:
            return "not_a_number"
        raw = match[1]
    try:
        value = float(raw)
    except OverflowError:
        return "out_of_range"
    if math.isnan(value):
        return "nan"
    return "infinite" if math.isinf(value) else value


IDLE_W = 25.0
MOST_OF_NAMEPLATE = 1.15


def estimate_power_w(hashrate_ths: float, efficiency_j_th: float, nameplate_w: float) -> float:
    """Watts of a make that reports none: efficiency times hashrate, between idle and 1.15 times the nameplate.

    Right to 5 to 20 %: firmware that overclocks or tunes moves the efficiency.
    """
    return round(min(max(efficiency_j_th * hashrate_ths, IDLE_W), MOST_OF_NAMEPLATE * nameplate_w), 2)


def estimate_where_missing(reading: Reading) -> Reading:
    """Fill in the power from the catalogue, by the model that the machine says it is, and mark it as an estimate."""
    if reading.power_w is not None or reading.hashrate_ths is None or reading.model is None:
        return reading
    promised = _promised(reading.model)
    if promised is not None:
        reading.power_w = estimate_power_w(reading.hashrate_ths, *promised)
        reading.power_source = PowerSource.ESTIMATE
    return reading


@lru_cache(maxsize=1024)
def _promised(model: str) -> tuple[float, float] | None:
    """J/TH and nameplate W of the model."""
    spec = find_model(model)
    return None if spec is None else (float(spec.efficiency_j_th), float(spec.power_w))
