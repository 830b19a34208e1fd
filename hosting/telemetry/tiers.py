"""Which table answers for a range of time: the coarsest whose periods fit into the steps of a grid of at most 500 points."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

POINTS = 500
STEPS_S = (300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)
DAY_S = 86_400


class Tier(Enum):
    """A table of sums and the length of its periods, in seconds."""

    MINUTES = 60
    FIVE_MINUTES = 300
    HOURS = 3600
    DAYS = DAY_S

    @property
    def period(self) -> timedelta:
        return timedelta(seconds=self.value)


OF_A_MINER = (Tier.MINUTES, Tier.HOURS, Tier.DAYS)
OF_A_GROUP = (Tier.FIVE_MINUTES, Tier.HOURS)


@dataclass(frozen=True)
class Grid:
    """Intervals of `step_s`, aligned to 1970 UTC."""

    start_s: int
    end_s: int
    step_s: int

    @classmethod
    def covering(cls, *, until: datetime, hours: int) -> "Grid":
        """The `hours` that end with the interval which holds `until`."""
        span_s = hours * 3600
        step_s = next((step for step in STEPS_S if span_s <= POINTS * step), None)
        if step_s is None:
            step_s = -(-span_s // (POINTS * DAY_S)) * DAY_S  # whole days, as many as it takes
        end_s = (int(until.timestamp()) // step_s + 1) * step_s
        points = min(POINTS, max(1, -(-span_s // step_s)))
        return cls(end_s - points * step_s, end_s, step_s)

    @classmethod
    def between(cls, start: datetime, end: datetime) -> "Grid":
        """The whole intervals that hold [start, end): one point more than the range is long, at most."""
        hours = max(1, -(-int((end - start).total_seconds()) // 3600))
        return cls.covering(until=end - timedelta(microseconds=1), hours=hours)

    @property
    def start(self) -> datetime:
        return datetime.fromtimestamp(self.start_s, UTC)

    @property
    def end(self) -> datetime:
        return datetime.fromtimestamp(self.end_s, UTC)

    @property
    def times(self) -> list[int]:
        return list(range(self.start_s, self.end_s, self.step_s))


@dataclass(frozen=True)
class Plan:
    """Read `tier` before `switch` and `finest` from there on: what is not rolled up yet is read as it was stored."""

    grid: Grid
    tier: Tier
    finest: Tier
    switch: datetime

    @property
    def half(self) -> timedelta:
        """A period belongs to the interval that holds its middle: local days and UTC's begin at different moments."""
        return self.tier.period / 2

    def parameters(self) -> dict[str, Any]:
        return {
            "start": self.grid.start,
            "end": self.grid.end,
            "step": timedelta(seconds=self.grid.step_s),
            "switch": self.switch,
            "coarse_from": self.grid.start - self.half,
            "half": self.half,
        }


@dataclass(frozen=True)
class RolledUp:
    """Ends of what the hours hold, and of the last local day that they hold in full; None when nothing is computed."""

    hours: datetime | None = None
    days: datetime | None = None


def pick(grid: Grid, tiers: tuple[Tier, ...], rolled_up: RolledUp) -> Plan:
    """The plan for a grid, with `tiers` from the finest to the coarsest."""
    tier = max((tier for tier in tiers if tier.value <= grid.step_s), key=lambda tier: tier.value)
    until = rolled_up.days if tier is Tier.DAYS else rolled_up.hours
    if tier is tiers[0] or until is None or until <= grid.start:
        return Plan(grid, tiers[0], tiers[0], grid.start)
    return Plan(grid, tier, tiers[0], min(until, grid.end))
