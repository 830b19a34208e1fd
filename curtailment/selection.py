"""Which machines to stop for a target: pure, and the same for the same input in whatever order it comes.

Watts and TH/s are floats: sums of thousands of measured values, compared, never billed. A strategy gives an order and a cost;
machines are taken in that order until the target is met, and the end of the list is then improved: what can be dropped is
dropped, and up to three machines are exchanged for others where that meets the target at less cost.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from curtailment.candidate import (
    NEVER,
    Candidate,
    Cost,
    Order,
    forgone_hashrate,
    forgone_margin,
    forgone_standing,
    least_efficient,
    lowest_margin,
    standard_first,
)
from curtailment.exchange import Unit, drop, exchange

__all__ = ["NOT_NAMED", "Candidate", "Selection", "least_hashrate_ths", "select"]

# Machines that may have to stand in for others: fleets lose up to a tenth of their answers, small plans a few machines.
RESERVE_SHARE = 0.25
LEAST_RESERVE = 20

NOT_NAMED = "not among the machines that were named"
NOT_NEEDED = "not needed: the target is met without it"
IS_PROTECTED = "protected: never stopped"
IN_NO_RACK = "it stands in no rack"
ON_NO_CIRCUIT = "its rack is on no circuit"


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen machines in the order of shutting down, those that stand in for others, and why the rest is left out."""

    chosen: list[Candidate]
    reserve: list[Candidate]
    left_out: dict[int, str]
    target_w: float | None

    @property
    def power_w(self) -> float:
        return sum(one.baseline_w for one in self.chosen)

    @property
    def hashrate_ths(self) -> float:
        return sum(one.hashrate_ths for one in self.chosen)

    @property
    def shortfall_w(self) -> float:
        return max(0.0, (self.target_w or 0.0) - self.power_w)

    @property
    def overshoot_w(self) -> float:
        return 0.0 if self.target_w is None else max(0.0, self.power_w - self.target_w)


def select(
    candidates: Iterable[Candidate],
    *,
    target_w: float | None,
    strategy: str,
    borne_kwh: Mapping[str | None, float] | None = None,
    listed: Collection[int] | None = None,
) -> Selection:
    """Choose machines for the target, or with None all of them. `strategy` is a value of states.Strategy.

    `listed` limits the choice to these machines under any strategy. `borne_kwh` is what each client's machines were kept from
    drawing lately; it decides who bears what cannot be shared evenly. Raises ValueError for an unknown strategy or a target
    that is not above 0.
    """
    if target_w is not None and not target_w > 0:
        raise ValueError(f"The target is {target_w} W: give more than 0.")
    left_out: dict[int, str] = {}
    able = _able(candidates, listed, left_out)
    if strategy == "fair_share":
        chosen, rest = _fair_share(able, target_w, borne_kwh or {})
    elif strategy in GROUPED:
        chosen, rest = _grouped(able, target_w, strategy, left_out)
    elif strategy in SINGLE:
        order, cost = SINGLE[strategy]
        units = [Unit([one], cost(one)) for one in sorted(able, key=order)]
        chosen, rest = _take(units, target_w)
    else:
        raise ValueError(f"{strategy} is no strategy.")
    count = max(LEAST_RESERVE, round(RESERVE_SHARE * len(chosen)))
    left_out |= {one.miner_id: NOT_NEEDED for one in rest[count:]}
    return Selection(chosen, rest[:count], left_out, target_w)


def _able(candidates: Iterable[Candidate], listed: Collection[int] | None, left_out: dict[int, str]) -> list[Candidate]:
    named = None if listed is None else set(listed)
    able = []
    for one in sorted(candidates, key=lambda one: one.miner_id):
        if named is not None and one.miner_id not in named:
            left_out[one.miner_id] = NOT_NAMED
        elif one.tier == NEVER:
            left_out[one.miner_id] = IS_PROTECTED
        else:
            able.append(one)
    return able


def _take(units: Sequence[Unit], target_w: float | None) -> tuple[list[Candidate], list[Candidate]]:
    """Units in their order until the target is met, the end improved; and what is left, in order."""
    if target_w is None:
        return _machines(units), []
    power_w, taken = 0.0, 0
    while taken < len(units) and power_w < target_w:
        power_w += units[taken].power_w
        taken += 1
    places = {id(unit): place for place, unit in enumerate(units)}
    chosen, rest = list(units[:taken]), list(units[taken:])
    if power_w >= target_w:
        exchange(chosen, rest, power_w - target_w)
        drop(chosen, rest, sum(unit.power_w for unit in chosen) - target_w)
    chosen.sort(key=lambda unit: places[id(unit)])
    rest.sort(key=lambda unit: places[id(unit)])
    return _machines(chosen), _machines(rest)


def _machines(units: Iterable[Unit]) -> list[Candidate]:
    return [one for unit in units for one in unit.machines]


def _fair_share(
    able: Sequence[Candidate], target_w: float | None, borne_kwh: Mapping[str | None, float]
) -> tuple[list[Candidate], list[Candidate]]:
    """To each client a share of the target as large as their share of the power, to within one machine.

    What whole machines cannot share goes first to those who bore least for each kW that they run.
    """
    by_client: dict[str | None, list[Candidate]] = {}
    for one in sorted(able, key=least_efficient):
        by_client.setdefault(one.client_id, []).append(one)
    if target_w is None:
        return _interleaved(by_client), []
    power_w = {client: sum(one.baseline_w for one in machines) for client, machines in by_client.items()}
    total_w = sum(power_w.values())
    quotas = {client: min(1.0, target_w / total_w) * theirs_w for client, theirs_w in power_w.items()}
    taken: dict[str | None, list[Candidate]] = {}
    sum_w = 0.0
    for client, machines in by_client.items():
        count, had_w = 0, 0.0
        while count < len(machines) and had_w + machines[count].baseline_w <= quotas[client]:
            had_w += machines[count].baseline_w
            count += 1
        taken[client] = machines[:count]
        sum_w += had_w
    turn = sorted(by_client, key=lambda client: (borne_kwh.get(client, 0.0) / power_w[client], str(client)))
    while sum_w < target_w and any(len(taken[client]) < len(by_client[client]) for client in turn):
        for client in turn:
            if sum_w >= target_w:
                break
            behind = by_client[client][len(taken[client]) :]
            if behind:
                taken[client].append(_last_one(behind, target_w - sum_w))
                sum_w += taken[client][-1].baseline_w
                by_client[client].remove(taken[client][-1])
                by_client[client].insert(len(taken[client]) - 1, taken[client][-1])
    kept = _without_excess(taken, quotas, sum_w - target_w)
    chosen = {client: [one for one in machines if one.miner_id in kept] for client, machines in by_client.items()}
    rest = {client: [one for one in machines if one.miner_id not in kept] for client, machines in by_client.items()}
    return _interleaved(chosen), _interleaved(rest)


def _without_excess(
    taken: Mapping[str | None, Sequence[Candidate]], quotas: Mapping[str | None, float], overshoot_w: float
) -> set[int]:
    """Ids of what is taken, less those that can be dropped and leave their client within one machine of their quota."""
    ahead_w = {client: sum(one.baseline_w for one in machines) - quotas[client] for client, machines in taken.items()}
    largest_w = {client: max((one.baseline_w for one in machines), default=0) for client, machines in taken.items()}
    kept = {one.miner_id for machines in taken.values() for one in machines}
    last_first = ((client, one) for client, machines in taken.items() for one in reversed(machines))
    for client, one in sorted(last_first, key=lambda pair: -ahead_w[pair[0]]):
        if one.baseline_w <= overshoot_w and ahead_w[client] - one.baseline_w > -largest_w[client]:
            kept.discard(one.miner_id)
            overshoot_w -= one.baseline_w
            ahead_w[client] -= one.baseline_w
    return kept


def _last_one(behind: Sequence[Candidate], missing_w: float) -> Candidate:
    """The smallest of a client's machines that alone makes up what is missing, or their next one."""
    enough = [one for one in behind if one.baseline_w >= missing_w]
    return min(enough, key=lambda one: (one.baseline_w, one.miner_id)) if enough else behind[0]


def _interleaved(by_client: Mapping[str | None, Sequence[Candidate]]) -> list[Candidate]:
    """All clients' machines in turn, each client's in its own order: whoever stops half-way has shared what was stopped."""
    places = [
        ((place + 1) / (len(machines) + 1), str(client), one)
        for client, machines in by_client.items()
        for place, one in enumerate(machines)
    ]
    return [one for _, _, one in sorted(places, key=lambda entry: entry[:2])]


def _grouped(
    able: Sequence[Candidate], target_w: float | None, strategy: str, left_out: dict[int, str]
) -> tuple[list[Candidate], list[Candidate]]:
    """Whole racks or circuits, the least efficient first."""
    of, missing = GROUPED[strategy]
    left_out |= {one.miner_id: missing for one in able if of(one) is None}
    placed = sorted((one for one in able if of(one) is not None), key=lambda one: (of(one) or 0, one.miner_id))
    units = []
    for _, group in groupby(placed, key=of):
        machines = sorted(group, key=least_efficient)
        units.append(Unit(machines, sum(one.hashrate_ths for one in machines)))
    units.sort(key=lambda unit: (-unit.power_w / max(unit.cost, 1e-9), unit.machines[0].miner_id))
    return _take(units, target_w)


SINGLE: dict[str, tuple[Order, Cost]] = {
    "least_efficient": (least_efficient, forgone_hashrate),
    "lowest_margin": (lowest_margin, forgone_margin),
    "tiers": (standard_first, forgone_standing),
    "listed": (least_efficient, forgone_hashrate),
}
GROUPED: dict[str, tuple[Callable[[Candidate], int | None], str]] = {
    "racks": (lambda one: one.rack_id, IN_NO_RACK),
    "circuits": (lambda one: one.circuit_id, ON_NO_CIRCUIT),
}


def least_hashrate_ths(candidates: Iterable[Candidate], target_w: float) -> float:
    """The linear-programming bound: TH/s that no choice of whole machines for this target can go below.

    Fractions of machines allowed, the best is to take them by W per TH/s and the last in part (Dantzig 1957).
    """
    left_w, forgone = target_w, 0.0
    for one in sorted(candidates, key=least_efficient):
        part = min(1.0, left_w / one.baseline_w)
        forgone += part * one.hashrate_ths
        left_w -= part * one.baseline_w
        if left_w <= 0:
            break
    return forgone
