"""How long to wait before the next attempt. No Django, no clock, no dice: those are arguments."""

from collections.abc import Sequence

# Seconds after the first, second, ... failed attempt; the last one repeats. A hiccup costs seconds, an outage an hour.
SCHEDULE_S: tuple[float, ...] = (5, 30, 60, 120, 240, 480, 960, 1920, 3600)
JITTER = (0.8, 1.2)


def delay_s(attempts: int, *, chance: float, schedule_s: Sequence[float] = SCHEDULE_S) -> float:
    """Seconds until the next attempt after `attempts` failed ones; `chance` from 0 to 1 spreads it by a fifth either way."""
    if attempts < 1:
        raise ValueError(f"{attempts} attempts cannot have failed: the first wait follows the first attempt.")
    low, high = JITTER
    return schedule_s[min(attempts, len(schedule_s)) - 1] * (low + (high - low) * chance)
