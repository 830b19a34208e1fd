"""What several sources agree on: the median of those near it, or nothing. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

TOLERANCE = Decimal("0.03")
MIN_AGREEING = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """`value` is None where too few agree; `outliers` are the names of those that were dropped."""

    value: Decimal | None
    agreeing: tuple[str, ...]
    outliers: tuple[str, ...]


def settle(told: Mapping[str, Decimal], *, needed: int = MIN_AGREEING) -> Verdict:
    """The median of the values within 3 % of the median of all; None when fewer than `needed` are left.

    Two that disagree have nobody within 3 % of the middle between them, so neither is believed.
    """
    if not told:
        return Verdict(None, (), ())
    middle = median(list(told.values()))
    near = {name: value for name, value in told.items() if abs(value - middle) <= TOLERANCE * middle}
    outliers = tuple(name for name in told if name not in near)
    # Two at 97 and 103 are each within 3 % of 100, but not of each other.
    spread = max(near.values()) - min(near.values()) if near else Decimal(0)
    if len(near) < needed or (len(near) == 2 and spread > TOLERANCE * min(near.values())):
        return Verdict(None, (), tuple(told) if len(told) > 1 else outliers)
    return Verdict(median(list(near.values())), tuple(near), outliers)


def median(values: Sequence[Decimal]) -> Decimal:
    """The middle value; of an even number the mean of the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
