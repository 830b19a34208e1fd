"""What a rule would have done: the same wishes and the same dwell over windows of five minutes that have passed. Pure.

Money is reckoned per MW that is stopped: what its power would have cost, less what it would have earned.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from curtailment.triggers.dwell import step
from curtailment.triggers.wishes import Act, Limits, Memory, Wish

WINDOW = timedelta(minutes=5)
WINDOW_H = Decimal(5) / 60


@dataclass(frozen=True, slots=True)
class Moment:
    """One window: $/MWh of electricity, and of what a MWh earns; None where nobody knows."""

    at: datetime
    price: Decimal | None
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """From the first window with machines off until the first with them on again; `ended` says why it was over."""

    starts_at: datetime
    ends_at: datetime
    began: str
    ended: str

    @property
    def hours(self) -> Decimal:
        return Decimal((self.ends_at - self.starts_at).total_seconds()) / 3600


@dataclass(frozen=True, slots=True)
class Money:
    """In $ per MW that is stopped, over all windows of which both figures are known."""

    saved: Decimal  # electricity not bought less revenue forgone less restarts
    avoided: Decimal  # electricity not bought
    forgone: Decimal  # revenue forgone, restarts included
    perfect: Decimal  # what knowing every price, and restarting for nothing, would have saved


def replay(moments: Sequence[Moment], wish: Callable[[Moment], Wish], limits: Limits) -> list[Stretch]:
    """Stretches in which machines would have been off; one that still goes on ends with the last window."""
    memory, began, why = Memory(), None, ""
    found = []
    for moment in moments:
        memory, decision = step(memory, wish(moment), limits, moment.at)
        if decision.act == Act.START:
            began, why = moment.at, decision.why
        elif decision.act == Act.STOP and began is not None:
            found.append(Stretch(began, moment.at, why, decision.why))
            began = None
    if began is not None and moments:
        found.append(Stretch(began, moments[-1].at + WINDOW, why, "still off at the end"))
    return found


def reckon(moments: Iterable[Moment], stretches: Sequence[Stretch], *, restart_h: Decimal) -> Money:
    """`restart_h` hours of revenue are lost by each restart, at the break-even of its moment."""
    avoided, forgone, perfect = Decimal(0), Decimal(0), Decimal(0)
    following = iter(stretches)
    current = next(following, None)
    for moment in moments:
        while current is not None and moment.at >= current.ends_at:
            current = next(following, None)
        if moment.price is None or moment.break_even is None:
            continue
        perfect += max(Decimal(0), moment.price - moment.break_even) * WINDOW_H
        if current is not None and current.starts_at <= moment.at:
            avoided += moment.price * WINDOW_H
            forgone += moment.break_even * (WINDOW_H + (restart_h if moment.at == current.starts_at else 0))
    return Money(avoided - forgone, avoided, forgone, perfect)
