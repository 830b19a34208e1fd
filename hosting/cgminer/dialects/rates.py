"""Hashrates under the names that CGMiner and its descendants give them."""

from hosting.cgminer.dialects.sections import Fields
from hosting.cgminer.reading import Reading

TO_THS = {"THS": 1.0, "GHS": 1e-3, "MHS": 1e-6, "KHS": 1e-9}
# Shortest first.
WINDOWS = ("5s", "10s", "30s", "1m", "5m", "15m", "30m", "av")


def set_rates(reading: Reading, *sources: Fields) -> None:
    """The shortest window and the session average, to 0.01 TH/s, each from the first source that has it."""
    for window in WINDOWS:
        if reading.hashrate_ths is None:
            reading.hashrate_ths = _rate(reading, "hashrate_ths", window, sources)
    reading.hashrate_avg_ths = _rate(reading, "hashrate_avg_ths", "av", sources)


def _rate(reading: Reading, metric: str, window: str, sources: tuple[Fields, ...]) -> float | None:
    for source in sources:
        for unit, factor in TO_THS.items():
            raw = source.get(f"{unit} {window}")
            if raw is not None and (value := reading.number(metric, raw, factor)) is not None:
                return round(value, 2)
    return None


def set_counters(reading: Reading, summary: Fields) -> None:
    """Shares and errors of the mining session."""
    reading.accepted = reading.count("accepted", summary.get("Accepted"))
    reading.rejected = reading.count("rejected", summary.get("Rejected"))
    reading.hardware_errors = reading.count("hardware_errors", summary.get("Hardware Errors"))
