"""A farm of simulated machines in one process: a listening socket per machine, all of them on loopback."""

import asyncio
import errno
import functools
import ipaddress
import random
import socket
from collections.abc import Callable, Sequence
from typing import cast

import orjson

from hosting.cgminer.client import raise_open_files
from hosting.cgminer.simulator import antminer, avalon, braiins, generic, luxos, vnish, whatsminer, whatsminer_v3
from hosting.cgminer.simulator.envelope import Reply, parse_request
from hosting.cgminer.simulator.machine import Fault, SimulatedMiner
from hosting.cgminer.simulator.plan import WEB_PORT
from hosting.cgminer.simulator.web import WebConnection
from hosting.cgminer.simulator.whatsminer_v3 import FramedConnection

REPLIES: dict[str, Callable[[SimulatedMiner, Reply | None], Reply | None]] = {
    "Antminer": antminer.reply,
    "Whatsminer": whatsminer.reply,
    "Whatsminer v3": whatsminer_v3.reply,
    "Avalon": avalon.reply,
    "LuxOS": luxos.reply,
    "Braiins OS": braiins.reply,
    "VNish": vnish.reply,
    "Generic": generic.reply,
}
MAX_REQUEST_BYTES = 16 * 1024
DRIP_INTERVAL_S = 0.25
BACKLOG = 64
HANGS_UP = 0.25
FILES_FOR_CONNECTIONS = 4_000
FEWEST_FOR_CONNECTIONS = 200
NO_REPLIES = (
    b"Socket connect failed: Connection refused\n\0",
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html><body>Bad Request</body></html>",
    b'{"STATUS":[{"STATUS":"S","When"=>1,"SUMMARY":[[[\0',
    b"[1, 2, 3]\0",
)


def reply_to(miner: SimulatedMiner, request: Reply | None) -> bytes:
    """The machine's whole reply, its NUL included; nothing when it hangs up without a word."""
    reply = REPLIES[miner.make](miner, request)
    return b"" if reply is None else orjson.dumps(reply) + b"\0"


def garbage(miner: SimulatedMiner) -> bytes:
    """What is no reply: text, a web page, broken brackets, a list, noise. Always the same for a machine."""
    kind = miner.number % (len(NO_REPLIES) + 1)
    if kind < len(NO_REPLIES):
        return NO_REPLIES[kind]
    return random.Random(miner.serial).randbytes(600)  # noqa: S311 noise, not a secret


class Connection(asyncio.Protocol):
    """One request, one reply, then the machine hangs up, as CGMiner does."""

    def __init__(self, miner: SimulatedMiner, open_ones: set[asyncio.Transport]) -> None:
        self.miner = miner
        self.open_ones = open_ones
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.open_ones.add(self.transport)
        if not self.miner.answers or (self.miner.fault == Fault.FLAKY and random.random() < HANGS_UP):  # noqa: S311
            self.transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.transport is not None:
            self.open_ones.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self.miner.fault == Fault.HANG:
            return
        self.buffer += data
        request, whole = parse_request(self.buffer)
        if whole or len(self.buffer) > MAX_REQUEST_BYTES:
            self.answer(self.transport, request)

    def answer(self, transport: asyncio.Transport, request: Reply | None) -> None:
        reply = garbage(self.miner) if self.miner.fault == Fault.GARBAGE else reply_to(self.miner, request)
        if self.miner.fault == Fault.DRIP:
            self.drip(transport, reply, 0)
            return
        transport.write(reply)
        transport.close()

    def drip(self, transport: asyncio.Transport, reply: bytes, position: int) -> None:
        if transport.is_closing():
            return
        if position >= len(reply):
            transport.close()
            return
        transport.write(reply[position : position + 1])
        asyncio.get_running_loop().call_later(DRIP_INTERVAL_S, self.drip, transport, reply, position + 1)


class SimulatedFarm:
    """Serves the machines between start() and stop()."""

    def __init__(self, miners: Sequence[SimulatedMiner]) -> None:
        self.miners = tuple(miners)
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """Listen for every machine; raises OSError, naming the address, when one cannot be had, and then none listens."""
        self._make_room()
        try:
            for miner in self.miners:
                if miner.fault != Fault.REFUSE:
                    await self._listen(miner.host, miner.port, functools.partial(Connection, miner, self._open))
                    await self._listen_web(miner)
                    await self._listen_framed(miner)
        except BaseException:
            await self.stop()
            raise

    def _make_room(self) -> None:
        """Raise the limit of open files; where it does not reach, web interfaces are left out before machines are refused."""
        webs = sum(miner.web_port is not None for miner in self.miners)
        needed = len(self.miners) + FEWEST_FOR_CONNECTIONS
        limit = raise_open_files(len(self.miners) + webs + FILES_FOR_CONNECTIONS)
        if limit < needed:
            hint = f"{len(self.miners)} machines need {needed} open files and {limit} are allowed: raise `ulimit -n`"
            raise OSError(errno.EMFILE, hint)
        if limit < len(self.miners) + webs + FILES_FOR_CONNECTIONS:
            for miner in self.miners:
                miner.web_port = None

    async def stop(self) -> None:
        """Close every socket; connections that are open are cut."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for transport in tuple(self._open):
            transport.abort()
        await asyncio.sleep(0)

    async def _listen(self, host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        listener = open_listener(host, port)
        try:
            self._servers.append(
                await asyncio.get_running_loop().create_server(factory, sock=listener, backlog=BACKLOG)
            )
        except BaseException:
            listener.close()
            raise

    async def _listen_web(self, miner: SimulatedMiner) -> None:
        """The machine's web interface; where its own port 80 cannot be had, the machine goes without."""
        if miner.web_port is None:
            return
        try:
            await self._listen(miner.host, miner.web_port, functools.partial(WebConnection, miner, self._open))
        except OSError as error:
            if miner.web_port != WEB_PORT or error.errno not in {errno.EACCES, errno.EADDRINUSE}:
                raise
            miner.web_port = None

    async def _listen_framed(self, miner: SimulatedMiner) -> None:
        if miner.framed_port is not None:
            await self._listen(miner.host, miner.framed_port, functools.partial(FramedConnection, miner, self._open))


def open_listener(host: str, port: int) -> socket.socket:
    """A bound socket on a loopback address; raises OSError for any other, or when the port is taken."""
    if not ipaddress.ip_address(host).is_loopback:
        raise OSError(errno.EADDRNOTAVAIL, f"{host} is not loopback, and simulated machines live nowhere else")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port} ({error.strerror})") from None
    listener.setblocking(False)
    return listener
