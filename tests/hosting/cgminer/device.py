"""Real TCP devices for these tests, on free ports of loopback, and the replies that they give."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

Handler = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REFUSAL = {
    "STATUS": [{"STATUS": "E", "When": 1, "Code": 14, "Msg": "Invalid command", "Description": "cgminer"}],
    "id": 1,
}


def envelope(section: str, *objects: dict[str, Any], when: int = 1_790_000_000) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "When": when, "Code": 11, "Msg": "ok"}], section: list(objects), "id": 1}


def antminer_stats(**values: Any) -> dict[str, Any]:
    header = {"BMMiner": "1.0.0", "Miner": "49.0.1.3", "CompileTime": "Tue Jan 3", "Type": "Antminer S19 Pro"}
    data = {
        "Elapsed": 3600,
        "GHS 5s": 108_250.5,
        "GHS av": 109_004.4,
        "fan_num": 2,
        "fan1": 5400,
        "fan2": 5280,
        "temp1": 66,
        "temp2_1": 71,
        "temp_chip1": "52-50-70-74",
        "temp_pcb1": "47-45-65-69",
        "temp_chip2": "0-0-0-0",
        "chain_rate1": "36000.10",
    }
    return envelope("STATS", header, data | values)


def antminer_summary(**values: Any) -> dict[str, Any]:
    data = {"Elapsed": 3600, "GHS 5s": 108_250.5, "GHS av": 109_004.4, "Accepted": 312, "Rejected": 2}
    return envelope("SUMMARY", data | {"Hardware Errors": 7} | values)


def whatsminer_summary(**values: Any) -> dict[str, Any]:
    data = {
        "Elapsed": 7200,
        "Uptime": 7260,
        "MHS av": 111_500_000.0,
        "MHS 5s": 113_250_000.5,
        "MHS 1m": 112_000_000.0,
        "HS RT": 112_500_000.0,
        "Accepted": 900,
        "Rejected": 4,
        "Hardware Errors": 31,
        "Temperature": 68.5,
        "Chip Temp Max": 91.25,
        "Fan Speed In": 5010,
        "Fan Speed Out": 5040,
        "Power Fanspeed": 8800,
        "Power": 3480,
        "Power Mode": "Normal",
        "Factory GHS": 112_000,
        "Firmware Version": "'20230911.12.REL'",
    }
    return envelope("SUMMARY", data | values)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[tuple[int, list[str]]]:
    """A device on a free port of 127.0.0.1; yields the port and the list that its requests are added to."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(json.loads(await reader.read(4096))["command"])
            await handler(asked[-1], reader, writer)
        except (ConnectionError, json.JSONDecodeError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


def replying(replies: dict[str, Any], *, joins: bool = False, hangs_up: bool = False) -> Handler:
    """Answers by command; what it does not know it refuses, or hangs up on without a word."""

    async def handle(command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names = command.split("+")
        if len(names) > 1 and joins:
            reply: Any = {name: [replies.get(name, REFUSAL)] for name in names} | {"id": 1}
        else:
            reply = replies.get(command, None if hangs_up else REFUSAL)
        if reply is not None:
            writer.write(reply if isinstance(reply, bytes) else json.dumps(reply).encode() + b"\0")
            await writer.drain()

    return handle


def sending(*pieces: bytes, pause_s: float = 0.02, then_wait_s: float = 0.0) -> Handler:
    """Sends the pieces one packet each, whatever was asked."""

    async def handle(_command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        await asyncio.sleep(then_wait_s)

    return handle


def network(number: int) -> str:
    """First address of a loopback network that no other process of these tests uses; number 0 to 39."""
    process = os.getpid()
    return f"127.{60 + process % 60}.{process // 60 % 6 * 40 + number}.1"


def open_files() -> int:
    """How many this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return uvloop.run(main)
