"""Carrying events from the outbox to their consumers, at least once and in the order of each aggregate."""

import logging
import time
from collections.abc import Callable, Sequence

from django.conf import settings

from events.claims import BATCH, Claim, Turn, claim_next, mark
from events.handlers import Consumer, batch_consumers, consume, hears, single_consumers

log = logging.getLogger(__name__)

FLUSH_S = 1.0  # results wait no longer than this for their UPDATE

Pump = Callable[[float], int]
_pumps: list[Pump] = []


def register_pump(pump: Pump) -> Pump:
    """Let every pass also run `pump(deadline)`: it works until nothing is due or time.monotonic() is past the deadline.

    It returns how many it handled; with more than none it is called again soon.
    """
    _pumps.append(pump)
    return pump


def handle(found: Claim) -> int:
    """Let all consumers have the claimed events and report results; how many got one."""
    turns = [Turn(event) for event in found.events]
    failed_at: dict[str, int] = {}
    _handle_batched(turns, failed_at, found.hand_back_at)
    reported, unreported = 0, []
    flushed_at = time.monotonic()
    for turn in turns:
        _handle_singly(turn, failed_at, found.hand_back_at)
        unreported.append(turn)
        if time.monotonic() - flushed_at > FLUSH_S:
            reported += mark(found.holder, unreported)
            unreported, flushed_at = [], time.monotonic()
    return reported + mark(found.holder, unreported)


def _handle_batched(turns: Sequence[Turn], failed_at: dict[str, int], hand_back_at: float) -> None:
    for consumer in batch_consumers():
        heard = [turn for turn in turns if hears(consumer, turn.event) and _may_go(turn, failed_at)]
        if not heard:
            continue
        try:
            consume(consumer, [turn.event for turn in heard])
        except Exception as error:  # noqa: BLE001  a handler may raise anything
            log.warning("%s failed on %d events together, trying one by one: %s", consumer.name, len(heard), error)
        else:
            continue
        for turn in heard:
            if _may_go(turn, failed_at) and _in_time(turn, hand_back_at):
                _attempt(consumer, turn, failed_at)


def _handle_singly(turn: Turn, failed_at: dict[str, int], hand_back_at: float) -> None:
    if not _may_go(turn, failed_at):
        turn.taken = False
        return
    for consumer in single_consumers(turn.event):
        if not _in_time(turn, hand_back_at):
            return
        _attempt(consumer, turn, failed_at)


def _attempt(consumer: Consumer, turn: Turn, failed_at: dict[str, int]) -> None:
    try:
        consume(consumer, [turn.event])
    except Exception as error:  # noqa: BLE001  a handler may raise anything
        log.warning("%s failed on %s: %s", consumer.name, turn.event, error)
        turn.errors[consumer.name] = f"{type(error).__name__}: {error}"
        key, failed = turn.event.aggregate_key, turn.event.pk
        failed_at[key] = min(failed, failed_at.get(key, failed))


def _may_go(turn: Turn, failed_at: dict[str, int]) -> bool:
    """Whether no earlier event of the same thing has failed in this batch."""
    return turn.taken and failed_at.get(turn.event.aggregate_key, turn.event.pk) >= turn.event.pk


def _in_time(turn: Turn, hand_back_at: float) -> bool:
    turn.taken = turn.taken and time.monotonic() < hand_back_at
    return turn.taken


def dispatch_once(batch: int = BATCH) -> int:
    """Handle one batch of events; how many got a result. With 0 nothing is due that could go now."""
    found = claim_next(batch)
    if not found.events:
        return 0
    suspects = [event for event in found.events if event.attempts > settings.OUTBOX_MAX_ATTEMPTS]
    if suspects:  # claimed alone, see SUSPECT
        turn = Turn(suspects[0], {"dispatcher": "died while it handled this event, again and again"})
        return mark(found.holder, [turn])
    return handle(found)


def run_pumps(deadline: float) -> int:
    """One call of each pump; one that raises is logged and does not stop the others."""
    handled = 0
    for pump in _pumps:
        try:
            handled += pump(deadline)
        except Exception:
            log.exception("the pump %s failed", getattr(pump, "__qualname__", pump))
    return handled


def drain(*, batch: int = BATCH, seconds: float = 30.0, stopped: Callable[[], bool] = lambda: False) -> int:
    """Dispatch and pump until nothing is due, the time is over or `stopped()`; how many were handled."""
    deadline = time.monotonic() + seconds
    total = 0
    while not stopped() and time.monotonic() < deadline:
        handled = dispatch_once(batch) + run_pumps(deadline)
        total += handled
        if not handled:
            break
    return total
