"""LuxOS: privileged commands on the CGMiner port, inside a session of which a machine has one at a time."""

import asyncio
import contextlib
from typing import Any

from hosting.cgminer.dialects.sections import Fields
from hosting.cgminer.protocol import Document, ProtocolError
from hosting.control.orders import Answer, NotDone, Order, Task
from hosting.control.wire import ask, yes

MAKE = "LuxOS"
RETRY_S = 0.25
RESERVE_S = 1.0  # of the deadline, for the order itself


async def obey(task: Task) -> str:
    session, ours = await open_session(task)
    try:
        return yes(await ask(task, *command(task, session)), MAKE)
    finally:
        if ours and task.order is not Order.REBOOT:
            await close(task, session)


def command(task: Task, session: str) -> tuple[str, str]:
    commands: dict[Order, tuple[str, str]] = {
        Order.SLEEP: ("curtail", "sleep"),
        Order.WAKE: ("curtail", "wakeup"),
        Order.REBOOT: ("rebootdevice", ""),
        Order.LOCATE: ("ledset", "red,blink" if task.light else "red,off"),
        Order.POWER_LIMIT: ("powertargetset", f"power={task.watts}"),
    }
    name, words = commands[task.order]
    return name, f"{session},{words}" if words else session


async def open_session(task: Task) -> tuple[str, bool]:
    """A session's id and whether it is ours to close.

    While somebody else's is open we wait for it to end, and then go on within it: the machine tells its id to whoever asks.
    """
    loop = asyncio.get_running_loop()
    patience = loop.time() + max(task.deadline - loop.time() - RESERVE_S, 0) / 2
    while True:
        reply = await ask(task, "logon")
        if session := session_in(reply):
            return session, True
        if loop.time() + RETRY_S > patience:
            break
        await asyncio.sleep(RETRY_S)
    if session := session_in(await ask(task, "session")):
        return session, False
    yes(reply, MAKE)  # a refusal for another reason than a session
    raise NotDone(Answer.REFUSED, f"{MAKE}: another session is open; it ends by itself within a minute")


def session_in(reply: Document) -> str | None:
    entries: Any = reply.get("SESSION")
    entry: Fields = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    session = entry.get("SessionID")
    return session if isinstance(session, str) and session.isalnum() and len(session) < 64 else None


async def close(task: Task, session: str) -> None:
    """An open session would keep the next order out for a minute; a machine that is gone already needs none closed."""
    with contextlib.suppress(ProtocolError):
        await ask(task, "logoff", session)


async def identify(task: Task) -> tuple[object, object]:
    reply = await ask(task, "config")
    entries: Any = reply.get("CONFIG")
    entry: Fields = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    return entry.get("SerialNumber"), entry.get("MACAddr")
