"""MicroBT's API v3, on a port of its own: JSON behind four bytes of length, and a token for every command."""

import asyncio
import base64
import hashlib
import time
from typing import Any

import orjson

from hosting.cgminer.dialects.sections import text
from hosting.cgminer.protocol import MAX_REPLY_BYTES, Document, ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, Login, NotDone, Order, Task, unsupported

MAKE = "Whatsminer"
PORT = 4433
FACTORY = Login("super", "super")
OK, INVALID_COMMAND, DENIED = 0, -2, -4
BLINK = [{"color": "red", "period": 400, "duration": 200, "start": 0}]


async def obey(task: Task) -> str:
    name, parameter = command(task)
    try:
        async with asyncio.timeout_at(task.deadline):
            reader, writer = await asyncio.open_connection(task.machine.host, port_of(task))
            try:
                told = await converse(reader, writer, {"cmd": "get.device.info", "param": "salt"})
                salt: Any = told.get("msg")
                salt = salt.get("salt") if isinstance(salt, dict) else None
                if not isinstance(salt, str):
                    raise ProtocolError(ReadError.BAD_JSON)
                return judged(
                    await converse(reader, writer, signed(name, parameter, salt, int(time.time()), task.login))
                )
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise ProtocolError(ReadError.TIMEOUT) from None
    except ConnectionRefusedError:
        raise ProtocolError(ReadError.REFUSED) from None
    except (asyncio.IncompleteReadError, OSError):
        raise ProtocolError(ReadError.CLOSED) from None


def port_of(task: Task) -> int:
    return PORT if task.machine.port == PORT else task.machine.web_port or PORT


def command(task: Task) -> tuple[str, object]:
    commands: dict[Order, tuple[str, object]] = {
        Order.SLEEP: ("set.miner.service", "stop"),
        Order.WAKE: ("set.miner.service", "start"),
        Order.REBOOT: ("set.system.reboot", None),
        Order.POWER_LIMIT: ("set.miner.power_limit", task.watts),
        Order.LOCATE: ("set.system.led", BLINK if task.light else "auto"),
    }
    return commands[task.order]


def signed(name: str, parameter: object, salt: str, now: int, login: Login) -> Document:
    """The command with its proof: the first eight characters of a hash over command, password, salt and time."""
    proof = base64.b64encode(hashlib.sha256(f"{name}{login.password}{salt}{now}".encode()).digest())[:8].decode()
    order: Document = {"cmd": name, "ts": now, "token": proof, "account": login.user}
    return order if parameter is None else order | {"param": parameter}


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Document) -> Document:
    """One request and its reply on the open connection."""
    body = orjson.dumps(request)
    writer.write(len(body).to_bytes(4, "little") + body)
    length = int.from_bytes(await reader.readexactly(4), "little")
    if not 0 < length <= MAX_REPLY_BYTES:
        raise ProtocolError(ReadError.TOO_BIG)
    try:
        reply = orjson.loads((await reader.readexactly(length)).strip(b"\0 \r\n"))
    except orjson.JSONDecodeError:
        raise ProtocolError(ReadError.BAD_JSON) from None
    if not isinstance(reply, dict):
        raise ProtocolError(ReadError.BAD_JSON)
    return reply


def judged(reply: Document) -> str:
    words = text(reply.get("msg")) or text(reply.get("desc")) or "no reason given"
    code = reply.get("code")
    if code == OK:
        return words[:120]
    if code == INVALID_COMMAND:
        raise unsupported(MAKE, "this firmware does not know the command")
    if code == DENIED or "password" in words.lower() or "token" in words.lower():
        raise NotDone(
            Answer.UNAUTHORISED,
            f"{MAKE}: it refuses the account or its API takes no write commands: correct the login under Credentials",
        )
    raise NotDone(Answer.REFUSED, f"{MAKE}: {words[:120]}")
