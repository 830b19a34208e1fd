"""The two ways to talk to a machine: its CGMiner port and its web interface. Every exchange obeys the order's one deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import httpx2
import orjson

from hosting.cgminer.client import exchange
from hosting.cgminer.dialects.sections import Fields, refused, status, text
from hosting.cgminer.protocol import MAX_REPLY_BYTES, Document, ProtocolError, encode_request
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, NotDone, Task

INVALID_COMMAND = 14
ACCESS_DENIED = 45
WEB_PORT = 80
OUTCOMES = {
    ReadError.REFUSED: "it refuses connections: is it on, and is this its address and port?",
    ReadError.TIMEOUT: "it did not answer in time; it may have taken the order",
    ReadError.CLOSED: "it closed the connection without an answer; it may have taken the order",
    ReadError.BAD_JSON: "its answer is no reply of a miner: is this its address and port?",
    ReadError.TOO_BIG: "its answer has no end: is this its address and port?",
}


def unreachable(error: ProtocolError) -> NotDone:
    return NotDone(Answer.UNREACHABLE, OUTCOMES.get(error.reason, error.reason.value))


async def ask(task: Task, command: str, parameter: str | None = None) -> Document:
    """One exchange on the CGMiner port. Raises ProtocolError."""
    document, _repairs = await exchange(
        task.machine.host, task.machine.port, encode_request(command, parameter), task.deadline
    )
    return document


def said(reply: Fields) -> str:
    """The machine's own words, fit to show."""
    words = text(status(reply).get("Msg") or reply.get("Msg")) or "no reason given"
    return words[:120]


def yes(reply: Document, make: str) -> str:
    """The machine's words when it accepts; raises NotDone when it does not."""
    entry = status(reply)
    if not refused(reply) and entry.get("STATUS") in {"S", "I", "W"}:
        return said(reply)
    if entry.get("Code") == INVALID_COMMAND:
        raise NotDone(Answer.UNSUPPORTED, f"{make}: this firmware does not know the command")
    if entry.get("Code") == ACCESS_DENIED:
        raise NotDone(
            Answer.UNAUTHORISED,
            f"{make}: it takes no orders from this host: allow it write access (W:) in its API settings",
        )
    raise NotDone(Answer.REFUSED, f"{make}: {said(reply)}")


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends: a device that sends without end must not fill the memory until the deadline."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self.inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self.inner:
            size += len(piece)
            if size > MAX_REPLY_BYTES:
                raise ProtocolError(ReadError.TOO_BIG)
            yield piece

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Wire(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if "content-encoding" in response.headers:  # we ask for none; a small packed body may be a huge one
            raise ProtocolError(ReadError.BAD_JSON)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream)
        return response


@lru_cache(maxsize=1)
def _no_tls() -> Any:
    """Loading the certificates of the world for plain HTTP would cost more than the order."""
    return httpx2.create_ssl_context(verify=False)


class Web:
    """A machine's web interface: plain HTTP, no proxies, no redirects, replies of bounded size."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body. Raises ProtocolError; the order's deadline is the caller's."""
        try:
            response = await self.client.request(method, path, content=body, headers=headers)
        except httpx2.ConnectError:
            raise ProtocolError(ReadError.REFUSED) from None
        except httpx2.TimeoutException:
            raise ProtocolError(ReadError.TIMEOUT) from None
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError, httpx2.CloseError) as error:
            garbled = isinstance(error, httpx2.RemoteProtocolError) and "disconnected" not in str(error)
            raise ProtocolError(ReadError.BAD_JSON if garbled else ReadError.CLOSED) from None
        except (httpx2.RequestError, httpx2.InvalidURL, ValueError):
            raise ProtocolError(ReadError.BAD_JSON) from None
        return response.status_code, response.content

    async def document(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Document:
        """The JSON object of a page. Raises NotDone (wrong password, no such page) and ProtocolError."""
        code, content = await self.request(method, path, body=body, headers=headers)
        accepted(code, path)
        try:
            document = orjson.loads(content or b"{}")
        except orjson.JSONDecodeError:
            raise ProtocolError(ReadError.BAD_JSON) from None
        return document if isinstance(document, dict) else {"value": document}


def accepted(code: int, path: str) -> None:
    """Raises NotDone for any status that is no success."""
    if code in {401, 403}:
        raise NotDone(Answer.UNAUTHORISED, "its web interface refuses the login: correct it under Credentials")
    if code in {404, 405, 501}:
        raise NotDone(Answer.UNSUPPORTED, f"its web interface has no {path}")
    if not 200 <= code < 300:
        raise NotDone(Answer.REFUSED, f"its web interface answered {code} to {path}")


@asynccontextmanager
async def web(task: Task, *, auth: httpx2.Auth | None = None, port: int | None = None) -> AsyncIterator[Web]:
    """The machine's web interface, for as long as the order lasts."""
    machine = task.machine
    host = f"[{machine.host}]" if ":" in machine.host else machine.host
    left_s = max(task.deadline - asyncio.get_running_loop().time(), 0.001)
    async with httpx2.AsyncClient(
        base_url=f"http://{host}:{port or machine.web_port or WEB_PORT}",
        auth=auth,
        timeout=left_s,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        transport=_Wire(verify=_no_tls()),
    ) as client:
        yield Web(client)
