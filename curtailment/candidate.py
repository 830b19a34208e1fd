"""A machine that could be stopped, in which order strategies take such machines, and what each costs. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

NEVER = "protected"
VIP = "vip"
UNKNOWN_MARGIN = float("inf")
VIP_COST_THS = 1e9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A machine that could be stopped. `margin_usd_per_h` is what it earns beyond its power, None where that is not known."""

    miner_id: int
    baseline_w: float
    hashrate_ths: float
    client_id: str | None = None
    margin_usd_per_h: float | None = None
    tier: str = "standard"
    rack_id: int | None = None
    circuit_id: int | None = None
    warm_up_min: float = 10  # from the order to wake until it hashes as before

    @property
    def j_per_th(self) -> float:
        return self.baseline_w / self.hashrate_ths if self.hashrate_ths > 0 else float("inf")

    @property
    def margin_usd_per_mwh(self) -> float:
        return UNKNOWN_MARGIN if self.margin_usd_per_h is None else self.margin_usd_per_h * 1e6 / self.baseline_w


Order = Callable[[Candidate], tuple[float | int, ...]]
Cost = Callable[[Candidate], float]


def least_efficient(one: Candidate) -> tuple[float | int, ...]:
    return (-one.j_per_th, -one.baseline_w, one.miner_id)


def lowest_margin(one: Candidate) -> tuple[float | int, ...]:
    return (one.margin_usd_per_mwh, *least_efficient(one))


def standard_first(one: Candidate) -> tuple[float | int, ...]:
    return (int(one.tier == VIP), *least_efficient(one))


def forgone_hashrate(one: Candidate) -> float:
    return one.hashrate_ths


def forgone_standing(one: Candidate) -> float:
    """No hashrate of standard machines outweighs a VIP one: it goes for none of them, and comes back first."""
    return one.hashrate_ths + (VIP_COST_THS if one.tier == VIP else 0)


def forgone_margin(one: Candidate) -> float:
    return one.hashrate_ths if one.margin_usd_per_h is None else one.margin_usd_per_h
