"""Whatsminer firmware, API v3: framed JSON on a port of its own; on the CGMiner port only the readings of v2 are left."""

import asyncio
import base64
import hashlib
import struct
from typing import cast

import orjson

from hosting.cgminer.simulator import whatsminer
from hosting.cgminer.simulator.envelope import Reply
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner

ACCOUNT, PASSWORD = "super", "super"
SALT = "BQ5hoXV9"
LENGTH = struct.Struct("<I")
MAX_REQUEST_BYTES = 64 * 1024
TOKEN_CHARACTERS = 8
TOKEN_LIFE_S = 600
OK, FAILED, UNKNOWN, FORBIDDEN = 0, -1, -2, -4
BOARDS = 3


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    """The CGMiner port: write commands of v2 are gone."""
    if request is not None and ("enc" in request or request.get("cmd") == "get_token"):
        return whatsminer.flat(miner, "E", whatsminer.DENIED, "permission denied")
    return whatsminer.reply(miner, request)


def token(command: str, password: str, salt: str, moment: int) -> str:
    digest = hashlib.sha256(f"{command}{password}{salt}{moment}".encode()).digest()
    return base64.b64encode(digest).decode()[:TOKEN_CHARACTERS]


def framed(miner: SimulatedMiner, request: Reply) -> Reply:
    """The answer on the framed port."""
    command, parameter = str(request.get("cmd", "")), request.get("param")
    if command == "get.miner.status":
        sections = {name: SECTIONS[name](miner) for name in str(parameter).split("+") if name in SECTIONS}
        return said(miner, OK, sections, command) if sections else said(miner, FAILED, "invalid param", command)
    if command == "get.device.info":
        about = device(miner)
        return said(miner, OK, about if parameter is None else {str(parameter): about.get(str(parameter))}, command)
    if not command.startswith("set."):
        return said(miner, UNKNOWN, "invalid command", command)
    if not allowed(miner, command, request):
        return said(miner, FORBIDDEN, "no permission", command)
    return said(miner, *obey(miner, command, parameter), command)


def allowed(miner: SimulatedMiner, command: str, request: Reply) -> bool:
    moment = request.get("ts")
    if not isinstance(moment, int) or abs(moment - miner.wall_clock()) > TOKEN_LIFE_S:
        return False
    return request.get("account") == ACCOUNT and request.get("token") == token(command, PASSWORD, SALT, moment)


def said(miner: SimulatedMiner, code: int, message: object, command: str) -> Reply:
    return {"code": code, "when": miner.device_time, "msg": message, "desc": command}


def obey(miner: SimulatedMiner, command: str, parameter: object) -> tuple[int, str]:
    if command == "set.miner.service" and parameter in {"stop", "disable"}:
        miner.stop()
    elif command == "set.miner.service" and parameter in {"start", "enable"}:
        miner.wake()
    elif command == "set.system.reboot":
        miner.reboot()
    elif command == "set.system.led":
        miner.blink(parameter != "auto")
    elif command == "set.miner.power_limit" and isinstance(parameter, int | float) and parameter >= miner.least_w:
        miner.limit(float(parameter))
    elif command in {"set.miner.service", "set.miner.power_limit"}:
        return FAILED, "invalid param"
    else:
        return UNKNOWN, "invalid command"
    return OK, "ok"


def summary(miner: SimulatedMiner) -> Reply:
    hot_c = miner.chip_c
    return {
        "elapsed": miner.uptime_s,
        "bootup-time": min(miner.uptime_s, 1323),
        "freq-avg": 650 if miner.hashrate_ths else 0,
        "target-freq": 650,
        "hash-average": round(miner.hashrate_avg_ths, 3),
        "hash-realtime": round(miner.hashrate_ths, 3),
        "factory-hash": float(miner.model.hashrate_ths),
        "up-freq-finish": int(miner.phase is Phase.HASHING),
        "target-hash": float(miner.model.hashrate_ths),
        "power-limit": int(miner.limit_w or miner.model.power_w),
        "fan-speed-in": miner.fan_rpm,
        "fan-speed-out": miner.fan_rpm + 30 if miner.fan_rpm else 0,
        "power-realtime": round(miner.power_w),
        "power-rate": round(miner.power_w / miner.hashrate_ths, 2) if miner.hashrate_ths else 0.0,
        "board-temperature": [round(hot_c - 20 - board, 1) for board in range(BOARDS)],
        "chip-temp-min": round(hot_c - 21, 1),
        "chip-temp-avg": round(hot_c - 8, 1),
        "chip-temp-max": round(hot_c, 1),
        "environment-temperature": round(miner.traits.ambient_c, 1),
        "power-5min": round(miner.power_w),
    }


def edevs(miner: SimulatedMiner) -> list[Reply]:
    return [
        {
            "id": board,
            "slot": board,
            "hash-average": round(miner.hashrate_avg_ths / BOARDS, 3),
            "factory-hash": round(float(miner.model.hashrate_ths) / BOARDS, 3),
            "freq": 650,
            "effective-chips": 156,
            "chip-temp-min": round(miner.chip_c - 21 - board, 1),
            "chip-temp-avg": round(miner.chip_c - 8 - board, 1),
            "chip-temp-max": round(miner.chip_c - board, 1),
        }
        for board in range(BOARDS)
    ]


def pools(miner: SimulatedMiner) -> list[Reply]:
    return [
        {
            "id": number,
            "url": f"stratum+tcp://pool-{name}.example:3333",
            "status": "alive",
            "account": f"farm.{miner.serial}",
            "stratum-active": number == 1,
            "reject-rate": 0.3,
        }
        for number, name in enumerate("ab", 1)
    ]


SECTIONS = {"summary": summary, "edevs": edevs, "pools": pools}


def device(miner: SimulatedMiner) -> Reply:
    working = miner.phase in {Phase.HASHING, Phase.STARTING}
    return {
        "network": {"ip": miner.host, "proto": "dhcp", "mac": miner.mac, "hostname": "WhatsMiner"},
        "miner": {
            "working": "true" if working else "false",
            "type": whatsminer.full_name(miner),
            "hash-board": "ml42",
            "miner-sn": miner.serial,
            "board-num": str(BOARDS),
        },
        "system": {
            "api": "3.0.1",
            "platform": "H616",
            "fwversion": "20250214.16.Rel2",
            "ledstatus": "manual" if miner.blinking else "auto",
        },
        "power": {"mode": "normal", "fanspeed": 8640, "pin": round(miner.power_w), "model": "P564B"},
        "salt": SALT,
        "error-code": [],
    }


class FramedConnection(asyncio.Protocol):
    """Requests and answers with their length before them, any number on one connection."""

    def __init__(self, miner: SimulatedMiner, open_ones: set[asyncio.Transport]) -> None:
        self.miner = miner
        self.open_ones = open_ones
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.open_ones.add(self.transport)
        if not self.miner.answers:
            self.transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.transport is not None:
            self.open_ones.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self.miner.fault == "hang":
            return
        self.buffer += data
        while len(self.buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self.buffer)
            if length > MAX_REQUEST_BYTES:
                self.transport.abort()
                return
            if len(self.buffer) < LENGTH.size + length:
                return
            body, self.buffer = self.buffer[LENGTH.size : LENGTH.size + length], self.buffer[LENGTH.size + length :]
            try:
                request = orjson.loads(body)
            except orjson.JSONDecodeError:
                request = None
            known = isinstance(request, dict)
            answer = orjson.dumps(
                framed(self.miner, request) if known else said(self.miner, FAILED, "invalid JSON", "")
            )
            self.transport.write(LENGTH.pack(len(answer)) + answer)
