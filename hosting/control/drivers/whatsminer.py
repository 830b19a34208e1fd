"""MicroBT's Whatsminer, API v2: write commands sealed with a token on the CGMiner port; API v3 where that is all there is."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from hosting.cgminer.client import exchange
from hosting.cgminer.dialects.sections import first, status
from hosting.cgminer.protocol import Document, ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.cgminer.whatsminer_seal import SealError, seal, session_key, token_sign, unseal
from hosting.control.drivers import whatsminer_v3
from hosting.control.orders import Answer, Login, NotDone, Order, Task, unsupported
from hosting.control.wire import ACCESS_DENIED, INVALID_COMMAND, ask, said

MAKE = "Whatsminer"
FACTORY = Login("admin", "admin")
OK, TOKEN_ERROR, TOO_MANY_TOKENS = 131, 135, 136
TOKEN_LIFE_S = 25 * 60  # the machine gives half an hour
MOST_TOKENS = 20_000
# What a machine says to a token that it gave before it was rebooted, or before it got other firmware.
STALE = {TOKEN_ERROR, ACCESS_DENIED}
NO_REPLY = {Order.REBOOT, Order.SLEEP, Order.WAKE}  # `respbefore` or not, some builds go down before they answer


@dataclass(frozen=True, slots=True)
class Token:
    key: str
    sign: str
    until: float


Place = tuple[str, int, Login]
# A machine gives 32 tokens per address and half an hour: with a new one each time, retries would lock us out.
_tokens: OrderedDict[Place, Token] = OrderedDict()
_session_key = lru_cache(maxsize=MOST_TOKENS)(session_key)


async def obey(task: Task) -> str:
    if task.machine.port == whatsminer_v3.PORT:
        return await by_v3(task, _NoTokens())
    try:
        return judged(await by_token(task, (task.machine.host, task.machine.port, task.login)))
    except _NoTokens as closed:
        return await by_v3(task, closed)


async def by_token(task: Task, place: Place) -> Document:
    """The answer to the order, sealed with the token that we have or a new one."""
    known = _tokens.pop(place, None)
    if known is not None and known.until > asyncio.get_running_loop().time():
        reply = await send(task, known)
        if status(reply).get("Code") not in STALE:
            _tokens[place] = known
            return reply
    token = await get_token(task)
    reply = await send(task, token)
    if status(reply).get("Code") not in STALE:
        _tokens[place] = token
        if len(_tokens) > MOST_TOKENS:
            _tokens.popitem(last=False)
    return reply


class _NoTokens(Exception):
    """The CGMiner port is closed (None), or its firmware does not give tokens, and why."""

    def __init__(self, refusal: NotDone | None = None) -> None:
        super().__init__()
        self.refusal = refusal


async def by_v3(task: Task, closed: _NoTokens) -> str:
    """Newer firmware reads on the old port and takes orders on a new one, with another account."""
    if task.login == FACTORY:
        task = replace(task, machine=replace(task.machine, login=whatsminer_v3.FACTORY))
    try:
        return await whatsminer_v3.obey(task)
    except ProtocolError as error:
        if closed.refusal is not None and error.reason is ReadError.REFUSED:
            raise closed.refusal from None
        raise


def command(task: Task) -> Document:
    commands: dict[Order, Document] = {
        Order.SLEEP: {"cmd": "power_off", "respbefore": "true"},
        Order.WAKE: {"cmd": "power_on"},
        Order.REBOOT: {"cmd": "reboot"},
        Order.POWER_LIMIT: {"cmd": "adjust_power_limit", "power_limit": str(task.watts)},
        Order.LOCATE: {"cmd": "set_led", "color": "red", "period": 400, "duration": 200, "start": 0}
        if task.light
        else {"cmd": "set_led", "param": "auto"},
    }
    return commands[task.order]


async def get_token(task: Task) -> Token:
    try:
        reply, _repairs = await exchange(
            task.machine.host, task.machine.port, orjson.dumps({"cmd": "get_token"}), task.deadline
        )
    except ProtocolError as error:
        if error.reason is ReadError.REFUSED:
            raise _NoTokens from None
        raise
    told: Any = reply.get("Msg")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in ("time", "salt", "newsalt")):
        if status(reply).get("Code") == TOO_MANY_TOKENS:
            raise NotDone(
                Answer.REFUSED, f"{MAKE}: it gave out all its tokens: try again in half an hour, or reboot it"
            )
        if status(reply).get("Code") not in {INVALID_COMMAND, ACCESS_DENIED}:
            raise ProtocolError(ReadError.BAD_JSON)
        try:
            judged(reply)
        except NotDone as refusal:
            raise _NoTokens(refusal) from None
    key = _session_key(task.login.password, told["salt"][:8])
    return Token(key, token_sign(key, told["time"], told["newsalt"]), asyncio.get_running_loop().time() + TOKEN_LIFE_S)


async def send(task: Task, token: Token) -> Document:
    packet = orjson.dumps({"enc": 1, "data": seal(command(task) | {"token": token.sign}, token.key)})
    try:
        reply, _repairs = await exchange(task.machine.host, task.machine.port, packet, task.deadline)
    except ProtocolError as error:
        if error.reason is ReadError.CLOSED and task.order in NO_REPLY:
            return {"STATUS": "S", "Code": OK, "Msg": "it took the order and closed the connection"}
        raise
    sealed = reply.get("enc")
    if not isinstance(sealed, str):
        return reply  # errors may come in clear
    try:
        return unseal(sealed, token.key)
    except SealError:
        raise ProtocolError(ReadError.BAD_JSON) from None


def judged(reply: Document) -> str:
    entry = status(reply)
    code = entry.get("Code")
    if entry.get("STATUS") == "S" and code == OK:
        return said(reply)
    if code == TOKEN_ERROR:
        raise NotDone(Answer.UNAUTHORISED, f"{MAKE}: it refuses the password: correct it under Credentials")
    if code == ACCESS_DENIED:
        raise NotDone(
            Answer.UNAUTHORISED,
            f"{MAKE}: its API takes no write commands: enable them with WhatsMinerTool and change the default password",
        )
    if code == TOO_MANY_TOKENS:
        raise NotDone(Answer.REFUSED, f"{MAKE}: it gave out all its tokens: try again in half an hour, or reboot it")
    if code == INVALID_COMMAND:
        raise unsupported(MAKE, "this firmware does not know the command")
    raise NotDone(Answer.REFUSED, f"{MAKE}: {said(reply)}")


async def identify(task: Task) -> tuple[object, object]:
    summary = first({"summary": await ask(task, "summary")}, "summary")
    reply, _repairs = await exchange(task.machine.host, task.machine.port, encode_miner_info(), task.deadline)
    told: Any = reply.get("Msg")
    info = told if isinstance(told, dict) else {}
    return info.get("minersn"), summary.get("MAC") or info.get("mac")


def encode_miner_info() -> bytes:
    return orjson.dumps({"cmd": "get_miner_info", "info": "mac,minersn"})
