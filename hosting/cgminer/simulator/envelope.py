"""Requests as machines take them and the envelope of their replies."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from hosting.cgminer.simulator.machine import SimulatedMiner

Reply = dict[str, Any]
Answer = Callable[[SimulatedMiner], Reply]

INVALID_COMMAND = 14
INVALID_JSON = 23
ACCESS_DENIED = 45
# What CGMiner gives to addresses with W: access only, which no farm gives.
PRIVILEGED = frozenset({
    "addpool", "ascdisable", "ascenable", "ascset", "debug", "disablepool", "enablepool", "hotplug", "poolpriority",
    "poolquota", "quit", "removepool", "restart", "save", "setconfig", "switchpool", "zero",
})  # fmt: skip


def parse_request(request: bytes) -> tuple[Reply | None, bool]:
    """The request as an object and whether it is whole; None for what is no request. `summary|` is the old text form."""
    text = request.strip(b"\0 \t\r\n")
    if not text.startswith(b"{"):
        command, _, parameter = text.decode("latin-1").partition("|")
        if not command.strip():
            return None, True
        return {"command": command.strip()} | ({"parameter": parameter} if parameter else {}), True
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, text.endswith(b"}")
    return document, True


def status(miner: SimulatedMiner, letter: str, code: int, message: str, description: str) -> list[Reply]:
    return [
        {"STATUS": letter, "When": miner.device_time, "Code": code, "Msg": message, "Description": description},
    ]


def error(miner: SimulatedMiner, code: int, message: str, description: str) -> Reply:
    return {"STATUS": status(miner, "E", code, message, description), "id": 1}


def answer(miner: SimulatedMiner, request: Reply | None, commands: Mapping[str, Answer], description: str) -> Reply:
    """What CGMiner's own code answers, joined commands included."""
    if request is None:
        return error(miner, INVALID_JSON, "Invalid JSON", description)
    names = str(request.get("command", "")).split("+")
    if len(names) == 1:
        return _one(miner, names[0], commands, description)
    if not miner.joins:
        return error(miner, INVALID_COMMAND, "Invalid command", description)
    return {name: [_one(miner, name, commands, description)] for name in names} | {"id": 1}


def _one(miner: SimulatedMiner, name: str, commands: Mapping[str, Answer], description: str) -> Reply:
    if name in PRIVILEGED:
        return error(miner, ACCESS_DENIED, f"Access denied to '{name}' command", description)
    command = commands.get(name)
    if command is None:
        return error(miner, INVALID_COMMAND, "Invalid command", description)
    return command(miner)


def fixed(miner: SimulatedMiner, name: str, make: Callable[[SimulatedMiner], Reply]) -> Reply:
    """The part of a reply that never changes, made once for the machine."""
    known = miner.memory.get(name)
    if not isinstance(known, dict):
        known = miner.memory[name] = make(miner)
    return known


MAX_TOKENS = 8


def _tokens(miner: SimulatedMiner) -> tuple[str, ...]:
    known = miner.memory.get("tokens")
    return known if isinstance(known, tuple) else ()


def new_token(miner: SimulatedMiner) -> str:
    """A bearer token of the machine's REST interface; the oldest goes when there are too many."""
    token = secrets.token_hex(16)
    miner.memory["tokens"] = (*_tokens(miner), token)[-MAX_TOKENS:]
    return token


def admitted(miner: SimulatedMiner, headers: Mapping[str, str]) -> bool:
    """Whether the request carries a token that the machine gave out; the word Bearer may be left out."""
    return headers.get("authorization", "").removeprefix("Bearer ") in _tokens(miner)


def pool_list(miner: SimulatedMiner) -> list[Reply]:
    """Two pools, as configured; the first is used."""
    accepted = miner.accepted
    return [
        {
            "POOL": number,
            "URL": url,
            "Status": "Alive",
            "Priority": number,
            "Accepted": accepted if number == 0 else 0,
            "Rejected": miner.rejected if number == 0 else 0,
            "Stale": 0,
            "User": f"farm.{miner.serial}",
            "Stratum Active": number == 0,
        }
        for number, url in enumerate(("stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333"))
    ]
