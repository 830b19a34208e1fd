"""From wishes to decisions: windows that must agree, least times on and off, the longest time, the rest after it.

Level-triggered: any number of evaluations within one window counts as one, and a pause of the platform begins the counting anew.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from curtailment.triggers.wishes import Act, Decision, Limits, Memory, Want, Wish

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def window_of(moment: datetime, length: timedelta) -> datetime:
    """Start of the window that the moment lies in; windows of 5 minutes begin at full fives."""
    return moment - (moment - EPOCH) % length


def step(memory: Memory, wish: Wish, limits: Limits, now: datetime) -> tuple[Memory, Decision]:
    """One evaluation. The new memory is to be stored together with what the decision leads to."""
    counted = _counted(memory, wish, limits, now)
    return _while_on(counted, wish, limits, now) if counted.active else _while_off(counted, wish, limits, now)


def ended(memory: Memory, now: datetime, *, rests: bool) -> Memory:
    """The stretch is over; `rests` when not by the condition itself, so that the cool-down counts."""
    return replace(memory, active_since=None, ended_at=now, rests=rests, above=0, below=0)


def _counted(memory: Memory, wish: Wish, limits: Limits, now: datetime) -> Memory:
    """A window counts once, by its first evaluation, unless a later one in it is known where the first was not."""
    window = window_of(now, limits.window)
    if wish.want == Want.UNKNOWN:
        return memory
    if memory.window == window:
        return memory
    follows = memory.window is not None and window - memory.window == limits.window
    above = memory.above if follows else 0
    below = memory.below if follows else 0
    return replace(
        memory,
        window=window,
        above=above + 1 if wish.want == Want.CURTAIL else 0,
        below=below + 1 if wish.want == Want.RELEASE else 0,
    )


def _while_on(memory: Memory, wish: Wish, limits: Limits, now: datetime) -> tuple[Memory, Decision]:
    since = memory.active_since
    if since is None:
        raise ValueError("Nothing is stopped by this rule.")
    if now - since >= limits.longest:
        why = f"off for {_minutes(limits.longest)}, the longest time"
        return ended(memory, now, rests=True), Decision(Act.STOP, why)
    if wish.want == Want.CURTAIL:
        return memory, Decision(Act.EXTEND, wish.why, wish.until, wish.mw)
    if wish.want != Want.RELEASE:
        return memory, Decision(Act.HOLD, f"stays off: {wish.why}")
    enough = wish.at_once or memory.below >= limits.windows_below
    left = limits.min_on - (now - since)
    if not enough:
        return memory, Decision(Act.HOLD, f"{wish.why}; {memory.below} of {limits.windows_below} windows below")
    if left > timedelta(0):
        return memory, Decision(Act.HOLD, f"{wish.why}; off for at least another {_minutes(left)}")
    return ended(memory, now, rests=False), Decision(Act.STOP, wish.why)


def _while_off(memory: Memory, wish: Wish, limits: Limits, now: datetime) -> tuple[Memory, Decision]:
    if wish.want != Want.CURTAIL:
        return memory, Decision(Act.HOLD, wish.why)
    if not wish.at_once and memory.above < limits.windows_above:
        return memory, Decision(Act.HOLD, f"{wish.why}; {memory.above} of {limits.windows_above} windows above")
    if memory.ended_at is not None:
        rest = max(limits.min_off, limits.cool_down) if memory.rests else limits.min_off
        left = rest - (now - memory.ended_at)
        if left > timedelta(0):
            return memory, Decision(Act.HOLD, f"{wish.why}; rests for another {_minutes(left)}")
    started = replace(memory, active_since=now, rests=False, below=0)
    return started, Decision(Act.START, wish.why, wish.until, wish.mw)


def _minutes(length: timedelta) -> str:
    return f"{-(-length.total_seconds() // 60):.0f} min"
