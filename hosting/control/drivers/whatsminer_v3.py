"""MicroBT's API v3, on a port of its own: JSON behind four bytes of length, and a token for every command."""

import base64
import hashlib
import time

from hosting.cgminer import framed
from hosting.cgminer.dialects.sections import text
from hosting.cgminer.protocol import Document, ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, Login, NotDone, Order, Task, unsupported

MAKE = "Whatsminer"
PORT = framed.PORT
FACTORY = Login("super", "super")
OK, INVALID_COMMAND, DENIED = 0, -2, -4
BLINK = [{"color": "red", "period": 400, "duration": 200, "start": 0}]


async def obey(task: Task) -> str:
    name, parameter = command(task)
    salt = (await about(task)).get("salt")
    if not isinstance(salt, str):
        raise ProtocolError(ReadError.BAD_JSON)
    order = signed(name, parameter, salt, int(time.time()), task.login)
    (reply,) = await framed.exchange(task.machine.host, port_of(task), [order], task.deadline)
    return judged(reply)


async def identify(task: Task) -> tuple[object, object]:
    told = await about(task)
    miner, network = told.get("miner"), told.get("network")
    return (
        miner.get("miner-sn") if isinstance(miner, dict) else None,
        network.get("mac") if isinstance(network, dict) else None,
    )


async def about(task: Task) -> Document:
    """What the machine says of itself to whoever asks, the salt for tokens included."""
    (reply,) = await framed.exchange(task.machine.host, port_of(task), [{"cmd": "get.device.info"}], task.deadline)
    message = reply.get("msg")
    return message if isinstance(message, dict) else {}


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
            f"{MAKE}: it refuses the account or its API takes no write commands: correct the login under Miner logins",
        )
    raise NotDone(Answer.REFUSED, f"{MAKE}: {words[:120]}")
