"""What a utility asks: the newest word on each of its events, and what holds when it falls silent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from curtailment.triggers.reading import known_only
from curtailment.triggers.wishes import Want, Wish

WINDOW = timedelta(minutes=1)


class Kind(StrEnum):
    START = "start"
    STOP = "stop"
    LEVEL = "level"  # OpenADR's simple level: 0 is normal, 1 to 3 are events
    HEARTBEAT = "heartbeat"


class FailSafe(StrEnum):
    """What holds while a source that promised to be heard is silent."""

    HOLD = "hold"
    RESTORE = "restore"
    CURTAIL = "curtail"


@dataclass(frozen=True, slots=True)
class Told:
    """One signal. `event` names what it is about; an empty one is about all that its source asked."""

    kind: Kind
    event: str
    received_at: datetime
    starts_at: datetime
    ends_at: datetime | None
    mw: Decimal | None = None
    level: Decimal | None = None


def parse(given: Mapping[str, Any]) -> None:
    """A signal rule has no settings of its own: its source has them. Raises BadSettings."""
    known_only(given, ())


def demand(signals: Iterable[Told], now: datetime) -> Told | None:
    """What is asked for now; of several events the one that asks for most, None MW being all that the rule can give."""
    newest: dict[str, Told] = {}
    for one in sorted(signals, key=lambda told: told.received_at):
        if one.kind == Kind.HEARTBEAT:
            continue
        if one.kind == Kind.STOP and not one.event:
            newest.clear()
        else:
            newest[one.event] = one
    asked = [one for one in newest.values() if _asks(one) and one.starts_at <= now and _before_end(one, now)]
    return max(asked, key=lambda one: (one.mw is None, one.mw or Decimal(0), one.received_at), default=None)


def wish(
    asked: Told | None, *, silent_for: timedelta | None, fail_safe: FailSafe, override: FailSafe | None = None
) -> Wish:
    """`silent_for` only when the source is overdue. A person's `override` goes before both."""
    if override is not None:
        return _by(override, f"a person overrides the source: {override}", asked)
    if silent_for is not None:
        return _by(fail_safe, f"the source is silent for {silent_for.total_seconds():.0f} s: {fail_safe}", asked)
    if asked is None:
        return Wish(Want.RELEASE, "the source asks for nothing", at_once=True)
    told = "the source asks for all that the rule has" if asked.mw is None else f"the source asks for {asked.mw} MW"
    return Wish(Want.CURTAIL, told, at_once=True, until=asked.ends_at, mw=asked.mw)


def _by(what: FailSafe, why: str, asked: Told | None) -> Wish:
    if what == FailSafe.HOLD:
        return Wish(Want.UNKNOWN, why)
    if what == FailSafe.RESTORE:
        return Wish(Want.RELEASE, why, at_once=True)
    return Wish(Want.CURTAIL, why, at_once=True, mw=asked.mw if asked else None)


def _asks(one: Told) -> bool:
    return one.kind == Kind.START or (one.kind == Kind.LEVEL and (one.level or 0) > 0)


def _before_end(one: Told, now: datetime) -> bool:
    return one.ends_at is None or now < one.ends_at
