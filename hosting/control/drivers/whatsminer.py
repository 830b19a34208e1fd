"""MicroBT's Whatsminer, API v2: write commands sealed with a token on the CGMiner port; API v3 where that is all there is."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
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
OK, TOKEN_ERROR, TOO_MANY_TOKENS = 131, 135, 136
TOKEN_LIFE_S = 25 * 60  # the machine gives half an hour
MOST_TOKENS = 20_000
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
    order = command(task)
    place = (task.machine.host, task.machine.port, task.login)
    known = _tokens.get(place)
    fresh = known is None or known.until < asyncio.get_running_loop().time()
    try:
        token = await get_token(task, place) if known is None or fresh else known
    except _NoTokens as closed:
        return await by_v3(task, closed)
    reply = await send(task, order, token)
    if status(reply).get("Code") == TOKEN_ERROR and not fresh:  # it forgot the token, by a reboot for instance
        _tokens.pop(place, None)
        reply = await send(task, order, await get_token(task, place))
    if status(reply).get("Code") == TOKEN_ERROR:
        _tokens.pop(place, None)
    return judged(reply)


class _NoTokens(Exception):
    """The CGMiner port is closed, or its firmware (`answers`) knows no write commands."""

    def __init__(self, *, answers: bool) -> None:
        super().__init__()
        self.answers = answers


async def by_v3(task: Task, closed: _NoTokens) -> str:
    try:
        return await whatsminer_v3.obey(task)
    except ProtocolError as error:
        if closed.answers and error.reason is ReadError.REFUSED:
            raise unsupported(
                MAKE,
                f"its firmware gives no write tokens (API v2) and its API v3 (port {whatsminer_v3.PORT}) is closed",
            ) from None
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


async def get_token(task: Task, place: Place) -> Token:
    try:
        reply, _repairs = await exchange(
            task.machine.host, task.machine.port, orjson.dumps({"cmd": "get_token"}), task.deadline
        )
    except ProtocolError as error:
        if error.reason is ReadError.REFUSED:
            raise _NoTokens(answers=False) from None
        raise
    told: Any = reply.get("Msg")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in ("time", "salt", "newsalt")):
        if status(reply).get("Code") == TOO_MANY_TOKENS:
            raise NotDone(
                Answer.REFUSED, f"{MAKE}: it gave out all its tokens: try again in half an hour, or reboot it"
            )
        if status(reply).get("Code") == INVALID_COMMAND:
            raise _NoTokens(answers=True)
        raise ProtocolError(ReadError.BAD_JSON)
    key = _session_key(task.login.password, told["salt"][:8])
    token = Token(key, token_sign(key, told["time"], told["newsalt"]), asyncio.get_running_loop().time() + TOKEN_LIFE_S)
    _tokens[place] = token
    _tokens.move_to_end(place)
    if len(_tokens) > MOST_TOKENS:
        _tokens.popitem(last=False)
    return token


async def send(task: Task, order: Document, token: Token) -> Document:
    packet = orjson.dumps({"enc": 1, "data": seal(order | {"token": token.sign}, token.key)})
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
