"""Devices that send what no firmware should, served from a thread of their own, so that a collector may block beside them."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.hosting.cgminer.device import Handler


async def endless(_command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never ends, as fast as it is read."""
    writer.write(b'{"STATUS":[{"STATUS":"S"}],"STATS":[')
    while True:
        writer.write(b'{"GHS 5s":1},' * 4096)
        await writer.drain()


async def deep(_command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """So many brackets that a recursive parser falls over."""
    writer.write(b"[" * 100_000 + b"]" * 100_000 + b"\0")
    await writer.drain()


async def web_page(_command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Something else than a miner at the miner's port."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Login</body></html>")
    await writer.drain()


async def zeros(_command: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes that end a reply before it began, again and again."""
    for _ in range(10_000):
        writer.write(b"\0" * 64)
        await writer.drain()


HOSTILE: tuple[Handler, ...] = (endless, deep, web_page, zeros)


@contextmanager
def crooked(handlers: Sequence[Handler]) -> Iterator[list[int]]:
    """Ports of 127.0.0.1, one for each handler."""
    ports: list[int] = []
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        servers = []
        for handler in handlers:

            async def answer(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler = handler
            ) -> None:
                try:
                    command = (await reader.read(4096)).decode()
                    await handler(command.split('"')[3] if command.count('"') > 3 else "", reader, writer)
                except (ConnectionError, asyncio.CancelledError):
                    pass
                finally:
                    writer.close()

            servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        ports.extend(server.sockets[0].getsockname()[1] for server in servers)
        ready.set()
        await over.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield ports
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
