"""Improving the end of a choice: some are given back for others where the target is still met at less cost. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations

from curtailment.candidate import Candidate

# Among how many units at the end of the list, and behind it, none, one, two or three are exchanged: more gain nothing measurable.
EXCHANGED = (0, 100, 24, 10)
MOST_EXCHANGES = 5
LEAST_GAIN = 1e-9


@dataclass(slots=True, eq=False)
class Unit:
    """What is stopped together: one machine, or a rack or circuit of them."""

    machines: list[Candidate]
    cost: float
    power_w: float = field(init=False)

    def __post_init__(self) -> None:
        self.power_w = sum(one.baseline_w for one in self.machines)


@dataclass(frozen=True, slots=True)
class Group:
    """Units that are given back, or taken, together."""

    power_w: float
    cost: float
    units: tuple[Unit, ...]


NOBODY = Group(0.0, 0.0, ())


def exchange(chosen: list[Unit], rest: list[Unit], overshoot_w: float) -> None:
    """Give up to three back for up to three others where the target is still met and the cost falls most; again while it does."""
    for _ in range(MOST_EXCHANGES):
        into = _groups(rest)
        into.sort(key=lambda group: group.power_w)
        cheapest = list(accumulate(reversed(into), _cheaper))[::-1]  # of those that draw as much or more
        powers = [group.power_w for group in into]
        best_out, best_in, gain = NOBODY, NOBODY, LEAST_GAIN
        for out in _groups(chosen[::-1]):
            place = bisect_left(powers, out.power_w - overshoot_w)
            if place < len(into) and out.cost - cheapest[place].cost > gain:
                best_out, best_in, gain = out, cheapest[place], out.cost - cheapest[place].cost
        if best_out is NOBODY:
            return
        overshoot_w += best_in.power_w - best_out.power_w
        chosen[:] = [unit for unit in chosen if unit not in best_out.units] + list(best_in.units)
        rest[:] = [*best_out.units, *(unit for unit in rest if unit not in best_in.units)]


def _cheaper(best: Group, one: Group) -> Group:
    return one if one.cost < best.cost else best


def _groups(units: Sequence[Unit]) -> list[Group]:
    """None, one, two or three of the first of these, fewer where there would be very many."""
    return [
        Group(sum(unit.power_w for unit in some), sum(unit.cost for unit in some), some)
        for size, first in enumerate(EXCHANGED)
        for some in combinations(units[:first], size)
    ]


def drop(chosen: list[Unit], rest: list[Unit], overshoot_w: float) -> None:
    """Until the overshoot is less than the smallest unit that could be dropped: the dearest that fits goes."""
    while fitting := [unit for unit in chosen if unit.power_w <= overshoot_w]:
        out = max(fitting, key=lambda unit: (unit.cost, unit.power_w, unit.machines[0].miner_id))
        chosen.remove(out)
        rest.append(out)
        overshoot_w -= out.power_w
