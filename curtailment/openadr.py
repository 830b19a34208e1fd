"""A VEN of OpenADR 2.0b over the library openleadr, which is optional: its events become signals of one source.

The library polls. A VTN that is away is asked again for ever; one that forgot us is registered with anew. A poll that is
answered counts as a sign of life, so that the source's fail-safe holds when the VTN is lost.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseAway, close_old_connections, transaction

from curtailment.models import CurtailmentRule, SignalSource, SitePolicy
from curtailment.signalling import LONGEST_ID, BadSignal, IdReused, Message, take
from curtailment.sources import heard
from curtailment.triggers.signals import Kind
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

OPT_IN, OPT_OUT = "optIn", "optOut"
OVER = ("cancelled", "completed")
LOST_AFTER = 3  # polls without an answer
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class NotInstalled(RuntimeError):
    """The library is missing; the message says how to get it."""


class NoMeaning(ValueError):
    """An event that cannot be turned into a signal."""


@dataclass(frozen=True, slots=True)
class Vtn:
    """Where the utility's server is, and by which certificate both know each other."""

    url: str
    ven_name: str
    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    fingerprint: str | None = None


def library() -> Any:
    """openleadr, or NotInstalled."""
    try:
        openleadr = import_module("openleadr")
    except ImportError:
        raise NotInstalled("OpenADR needs the library openleadr: run `make install-openadr`.") from None
    return openleadr


def message_of(event: Mapping[str, Any]) -> Message:
    """The signal that an event means. Raises NoMeaning.

    The highest level of its first signal counts, from the first interval above 0 until the end of the last one; how many MW
    that is, is the rule's to say.
    """
    about = event["event_descriptor"]
    name, number = str(about["event_id"]), int(about.get("modification_number") or 0)
    if len(name) > LONGEST_ID - 20:
        raise NoMeaning(f"its id has {len(name)} characters")
    status = str(about.get("event_status"))
    if status in OVER:
        return Message(f"{name}:{number}:{status}", Kind.STOP, event=name)
    signals = event.get("event_signals") or []
    if not signals:
        raise NoMeaning("it has no signal")
    spans = [_span(interval) for interval in signals[0].get("intervals") or []]
    high = [(begin, end, level) for begin, end, level in spans if level > 0]
    if not high:
        return Message(f"{name}:{number}", Kind.LEVEL, event=name, level=Decimal(0))
    return Message(
        f"{name}:{number}",
        Kind.LEVEL,
        event=name,
        level=max(level for _, _, level in high),
        starts_at=min(begin for begin, _, _ in high),
        ends_at=max(end for _, end, _ in high),
    )


def _span(interval: Mapping[str, Any]) -> tuple[datetime, datetime, Decimal]:
    begin, length = interval.get("dtstart"), interval.get("duration")
    if not isinstance(begin, datetime) or begin.tzinfo is None or not isinstance(length, timedelta):
        raise NoMeaning("an interval of it has no start or no duration")
    level = Decimal(str(interval.get("signal_payload", 0)))
    if not level.is_finite():
        raise NoMeaning("its level is no number")
    return begin, begin + length, level


def answer(event: Mapping[str, Any], source_id: Any) -> str:
    """Take the event as a signal; opt in where an armed rule follows it, and out where nothing would come of it."""
    source = SignalSource.objects.select_related("site").filter(pk=source_id, disabled_at=None).first()
    if source is None:
        return OPT_OUT
    if str(event["event_descriptor"].get("test_event", "false")).lower() not in {"false", "none", ""}:
        return OPT_IN  # a test of the line: understood, and not acted on
    now = database_now()
    try:
        message = message_of(event)
        digest = hashlib.sha256(json.dumps(event, sort_keys=True, default=str).encode()).hexdigest()
        take(message, source=source, digest=digest, door="openadr", now=now)
    except IdReused:  # its status went from far to near: the same event
        pass
    except (NoMeaning, BadSignal) as bad:
        log.warning("OpenADR event %s: %s", event["event_descriptor"].get("event_id"), bad)
        return OPT_OUT
    follows = CurtailmentRule.objects.filter(source=source, armed=True).exists()
    policy = SitePolicy.of(source.site)
    frozen = policy.frozen_until is not None and now < policy.frozen_until
    return OPT_IN if follows and not frozen else OPT_OUT


def note_life(source_id: Any) -> None:
    """The VTN answered."""
    source = SignalSource.objects.filter(pk=source_id, disabled_at=None).first()
    if source is not None:
        with transaction.atomic():
            heard(source, database_now())


async def run_ven(vtn: Vtn, source_id: Any, *, stopped: Callable[[], bool], told: Callable[[str], None]) -> None:
    """Be a VEN until `stopped`. Raises NotInstalled; what the VTN does is never raised."""
    library()
    wait_s = FIRST_WAIT_S
    while not stopped():
        client = _client(vtn, source_id)
        try:
            await client.run()
            if client.registration_id:
                told(f"registered with {vtn.url}")
                wait_s = FIRST_WAIT_S
                await _until_lost(client, stopped)
        except Exception as failed:  # noqa: BLE001  the library lets what it did not expect pass
            log.warning("OpenADR: %s: %s", type(failed).__name__, failed)
        await _closed(client)
        if not stopped():
            told(f"{vtn.url} does not answer; asked again in {wait_s:.0f} s")
            await _nap(wait_s, stopped)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _client(vtn: Vtn, source_id: Any) -> Any:
    openleadr = library()

    class Ven(openleadr.OpenADRClient):  # type: ignore[name-defined]  # known at run time only
        """Counts polls that went unanswered."""

        lost = 0

        async def poll(self) -> tuple[Any, Any]:
            told: tuple[Any, Any] = await super().poll() or (None, None)
            kind, payload = told
            code = ((payload or {}).get("response") or {}).get("response_code", 200)
            if kind is None or int(code) != 200:
                self.lost += 1
            else:
                self.lost = 0
                try:
                    await _in_farm(note_life, source_id)
                except DatabaseAway:
                    log.exception("OpenADR: the database does not answer")
            return kind, payload or {}

        async def on_event(self, event: Mapping[str, Any]) -> str:
            return str(await _in_farm(answer, event, source_id))

        async def on_update_event(self, event: Mapping[str, Any]) -> str:
            return str(await _in_farm(answer, event, source_id))

    return Ven(
        ven_name=vtn.ven_name,
        vtn_url=vtn.url,
        cert=vtn.cert,
        key=vtn.key,
        ca_file=vtn.ca,
        vtn_fingerprint=vtn.fingerprint,
        show_fingerprint=False,
    )


async def _in_farm(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run with the database, by a connection that is not broken."""

    def connected() -> Any:
        close_old_connections()
        return work(*arguments)

    return await sync_to_async(connected)()


async def _until_lost(client: Any, stopped: Callable[[], bool]) -> None:
    while not stopped() and client.lost < LOST_AFTER:  # noqa: ASYNC110  a signal handler asks
        await asyncio.sleep(0.2)


async def _closed(client: Any) -> None:
    if client.scheduler.running:
        client.scheduler.shutdown(wait=False)
    if client.client_session is not None and not client.client_session.closed:
        await client.client_session.close()


async def _nap(seconds: float, stopped: Callable[[], bool]) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while not stopped() and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110  as above
        await asyncio.sleep(0.1)
