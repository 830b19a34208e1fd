"""Reading a Whatsminer over API v3: JSON with its length before it, on TCP 4433; all of a reading in one connection."""

import asyncio
import struct
from typing import Any

import orjson

from hosting.cgminer.dialects import whatsminer_v3
from hosting.cgminer.protocol import MAX_REPLY_BYTES, Document, ProtocolError, decode_reply
from hosting.cgminer.reading import ReadError, Reading, estimate_where_missing

PORT = 4433
COMMAND = "get.miner.status"
LENGTH = struct.Struct("<I")


async def read(host: str, port: int, deadline: float, *, details: bool = False) -> Reading:
    """One reading; `deadline` is by the loop's clock. Raises ProtocolError, nothing else that a device can cause."""
    requests: list[Document] = [
        {"cmd": COMMAND, "param": "summary+edevs+pools" if details else "summary"},
        {"cmd": "get.device.info"},
    ]
    replies = await exchange(host, port, requests, deadline)
    reading = whatsminer_v3.parse(*replies)
    if reading is None:
        raise ProtocolError(ReadError.UNSUPPORTED)
    if details:
        whatsminer_v3.detail(reading, *replies)
    return estimate_where_missing(reading)


async def exchange(host: str, port: int, requests: list[Document], deadline: float) -> list[Document]:
    """The answers in the requests' order. Raises ProtocolError."""
    try:
        async with asyncio.timeout_at(deadline):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return [await _one(reader, writer, request) for request in requests]
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise ProtocolError(ReadError.TIMEOUT) from None
    except ConnectionRefusedError:
        raise ProtocolError(ReadError.REFUSED) from None
    except (OSError, EOFError):
        raise ProtocolError(ReadError.CLOSED) from None


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, Any]) -> Document:
    body = orjson.dumps(request)
    writer.write(LENGTH.pack(len(body)) + body)
    await writer.drain()
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_REPLY_BYTES:
        raise ProtocolError(ReadError.TOO_BIG)
    return decode_reply(await reader.readexactly(length))[0]
