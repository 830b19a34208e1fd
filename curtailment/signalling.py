"""Taking signals: whatever the door, a message counts once and is kept as it was understood."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction

from curtailment.models import Signal, SignalSource
from curtailment.poke import poke_rules
from curtailment.sources import heard
from curtailment.triggers.signals import Kind

MOST_BYTES = 64 * 1024
LONGEST_ID = 200
MOST_MW = Decimal(100_000)
LONGEST = timedelta(days=7)
AHEAD = timedelta(days=30)
FIELDS = ("id", "kind", "event", "mw", "level", "starts_at", "ends_at")


class BadSignal(ValueError):
    """The message cannot be understood; it says which field and what to give."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class IdReused(Exception):
    """The id stands for another message, which has been taken."""


@dataclass(frozen=True, slots=True)
class Message:
    """One signal as its source told it; times are aware."""

    external_id: str
    kind: Kind
    event: str = ""
    mw: Decimal | None = None
    level: Decimal | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    signal: Signal
    repeated: bool  # it was known already, and nothing happened


def understood(given: Any, *, external_id: str | None = None) -> Message:
    """Read one message. `external_id` is the envelope's and goes before one inside. Raises BadSignal."""
    if not isinstance(given, Mapping):
        raise BadSignal("body", 'Send a JSON object such as {"id": "e-17", "kind": "start", "mw": 1.5}.')
    for name in given:
        if name not in FIELDS:
            raise BadSignal(str(name)[:50], f"There is no such field: give {', '.join(FIELDS)}.")
    name = external_id or _text(given, "id")
    if not name:
        raise BadSignal("id", "Give the message a name of your own, so that a repeat of it changes nothing.")
    if given.get("kind") not in list(Kind):
        raise BadSignal("kind", f"Give one of {', '.join(Kind)}.")
    message = Message(
        external_id=name,
        kind=Kind(given["kind"]),
        event=_text(given, "event"),
        mw=_number(given, "mw", MOST_MW),
        level=_number(given, "level", Decimal(100)),
        starts_at=_moment(given, "starts_at"),
        ends_at=_moment(given, "ends_at"),
    )
    if message.mw is not None and message.mw <= 0:
        raise BadSignal("mw", "Give MW above 0, or leave it out for all that the rule has.")
    if message.kind == Kind.LEVEL and message.level is None:
        raise BadSignal("level", "Give a level: 0 is normal, 1 to 3 are events.")
    return message


def take(message: Message, *, source: SignalSource, digest: str, door: str, now: datetime) -> Taken:
    """Store it and note that the source was heard. Raises IdReused, BadSignal."""
    starts_at = message.starts_at or now
    if message.ends_at is not None and message.ends_at <= starts_at:
        raise BadSignal("ends_at", "It ends before it starts: give a later end.")
    if message.ends_at is not None and message.ends_at - starts_at > LONGEST:
        raise BadSignal("ends_at", "It lasts longer than a week: give an earlier end.")
    if starts_at > now + AHEAD:
        raise BadSignal("starts_at", "It starts in more than 30 days: send it later.")
    with transaction.atomic():
        _, fresh = Signal.objects.get_or_create(
            source=source,
            external_id=message.external_id,
            defaults={
                "site_id": source.site_id,
                "event": message.event,
                "kind": message.kind,
                "mw": message.mw,
                "level": message.level,
                "starts_at": starts_at,
                "ends_at": message.ends_at,
                "received_at": now,
                "digest": digest,
                "door": door,
                "result": "taken",
            },
        )
        signal = Signal.objects.get(source=source, external_id=message.external_id)
        if not fresh and signal.digest != digest:
            raise IdReused(f"The id {message.external_id} stands for another message: use a new one.")
        if fresh:  # whoever repeats what was said before proves nothing
            heard(source, now)
            poke_rules()
    return Taken(signal, repeated=not fresh)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _text(given: Mapping[str, Any], name: str) -> str:
    told = given.get(name) or ""
    if not isinstance(told, str) or len(told) > LONGEST_ID or not told.isprintable():
        raise BadSignal(name, f"Give printable text of at most {LONGEST_ID} characters.")
    return told.strip()


def _number(given: Mapping[str, Any], name: str, most: Decimal) -> Decimal | None:
    told = given.get(name)
    if told is None:
        return None
    try:
        found = Decimal(str(told))
    except InvalidOperation:
        found = Decimal("NaN")
    if isinstance(told, bool) or not found.is_finite() or not 0 <= found <= most:
        raise BadSignal(name, f"Give a number from 0 to {most:,}.")
    return round(found, 6 if name == "mw" else 2)


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    told = given.get(name)
    if told is None:
        return None
    try:
        found = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadSignal(name, "Give a time with its offset, such as 2026-11-23T17:00:00+01:00.")
    try:
        return found.astimezone(UTC)
    except (OverflowError, ValueError):
        raise BadSignal(name, "This time cannot be: give one near the present.") from None
