"""Hashrates under the names that CGMiner and its descendants give them."""

from hosting.cgminer.dialects.sections import Fields
from hosting.cgminer.reading import Reading

TO_THS = {"GHS": 1e-3, "MHS": 1e-6, "THS": 1.0, "KHS": 1e-9}


def _names(window: str) -> tuple[tuple[str, float], ...]:
    return tuple((f"{unit} {window}", factor) for unit, factor in TO_THS.items())


AVERAGE = _names("av")
# Shortest first; what reports no window at all has its average.
WINDOWS = tuple(name for window in ("5s", "10s", "30s", "1m", "5m", "15m", "30m") for name in _names(window))
INSTANT = tuple(name for window in ("5s", "10s", "30s") for name in _names(window))


def set_rates(reading: Reading, *sources: Fields, asleep: bool = False, averages: bool = True) -> None:
    """The shortest window and the session average, to 0.01 TH/s, each from the first source that has it.

    Without `averages` the session average never stands in for a window. Of a machine that is said to be asleep only windows
    of seconds count: longer ones fade, and the average never does.
    """
    reading.hashrate_ths = _first_rate(reading, "hashrate_ths", INSTANT if asleep else WINDOWS, sources)
    if asleep and reading.hashrate_ths is None:
        reading.hashrate_ths = 0.0
    elif averages and reading.hashrate_ths is None:
        reading.hashrate_ths = _first_rate(reading, "hashrate_ths", AVERAGE, sources)
        reading.hashrate_averaged = reading.hashrate_ths is not None
    reading.hashrate_avg_ths = _first_rate(reading, "hashrate_avg_ths", AVERAGE, sources)


def _first_rate(
    reading: Reading, metric: str, names: tuple[tuple[str, float], ...], sources: tuple[Fields, ...]
) -> float | None:
    for name, factor in names:
        for source in sources:
            if name in source and (value := reading.number(metric, source[name], factor)) is not None:
                return round(value, 2)
    return None


def set_counters(reading: Reading, summary: Fields) -> None:
    """Shares and errors of the mining session."""
    reading.accepted = reading.count("accepted", summary.get("Accepted"))
    reading.rejected = reading.count("rejected", summary.get("Rejected"))
    reading.hardware_errors = reading.count("hardware_errors", summary.get("Hardware Errors"))
