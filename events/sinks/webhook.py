"""One attempt to deliver one event by HTTP, signed as Standard Webhooks says. Storing the answer is the caller's work.

Everything from DNS to the last byte has one deadline: limits per read would let a receiver that sends a byte a second
hold its sender for hours.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import orjson
from standardwebhooks import Webhook

from events.sinks.guard import Destination, Lookup, TargetRefused, resolve

TIMEOUT_S = 15.0
MAX_BODY = 64 * 1024
EXCERPT_LENGTH = 500
MAX_RETRY_AFTER_S = 86_400.0
GONE = 410
USER_AGENT = "MineFarm/0.1.0"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is told. `id` is the same in every attempt; `sequence` counts the events of `aggregate` without gaps."""

    id: str
    type: str
    timestamp: datetime  # when it happened, timezone-aware
    data: Mapping[str, Any]
    version: int
    aggregate: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt. `ok` is a complete 2xx; `error` says in words what else happened."""

    ok: bool
    status: int | None
    excerpt: str
    error: str | None
    gone: bool
    retry_after_s: float | None
    duration_ms: int


@dataclass(slots=True)
class _Reply:
    """What has arrived so far: it also counts when the deadline cuts the rest."""

    status: int | None = None
    retry_after: str = ""
    body: bytearray = field(default_factory=bytearray)


def body_of(event: Envelope) -> bytes:
    """The signed bytes: equal for equal events, whatever the attempt."""
    return orjson.dumps(
        {
            "type": event.type,
            "timestamp": event.timestamp,
            "data": dict(event.data),
            "version": event.version,
            "aggregate": event.aggregate,
            "sequence": event.sequence,
        },
        option=orjson.OPT_UTC_Z,
    )


def signed_headers(event: Envelope, body: bytes, *, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """One signature per secret, the current one first. Raises ValueError without a secret or with a broken one."""
    if not secrets:
        raise ValueError(f"Event {event.id} has no secret to be signed with: rotate the endpoint's secret.")
    at = at.astimezone(UTC)
    signatures = [Webhook(secret).sign(event.id, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": event.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }


def send(
    target: str,
    *,
    secrets: Sequence[str],
    event: Envelope,
    timeout_s: float = TIMEOUT_S,
    lookup: Lookup = socket.getaddrinfo,
) -> Answer:
    """`send_async` for callers without an event loop."""
    return asyncio.run(send_async(target, secrets=secrets, event=event, timeout_s=timeout_s, lookup=lookup))


async def send_async(
    target: str,
    *,
    secrets: Sequence[str],
    event: Envelope,
    timeout_s: float = TIMEOUT_S,
    lookup: Lookup = socket.getaddrinfo,
) -> Answer:
    """Deliver once, within `timeout_s` seconds for everything. What the network or the receiver does is never raised."""
    body = body_of(event)
    headers = signed_headers(event, body, secrets=secrets, at=datetime.now(UTC))
    reply, error = _Reply(), None
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            destination = await in_thread(lambda: resolve(target, lookup))
            await _exchange(destination, headers, body, reply)
    except TimeoutError:
        error = f"no complete answer within {timeout_s:g} s"
    except TargetRefused as refused:
        error = f"not sent: {refused}"
    except socket.gaierror as failed:
        error = f"the name could not be resolved: {failed.strerror or failed}"
    except (
        OSError,
        UnicodeError,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.TimeoutException,
    ) as failed:
        error = f"the connection failed: {_cause(failed)}"
    return _answer(reply, error, duration_ms=round((time.monotonic() - started) * 1000))


async def _exchange(destination: Destination, headers: Mapping[str, str], body: bytes, reply: _Reply) -> None:
    """Post to the judged address in the name of its host; what arrives goes into `reply`."""
    url = httpcore2.URL(
        scheme=destination.scheme, host=destination.address, port=destination.port, target=destination.path
    )
    request = {
        "host": destination.authority,
        "connection": "close",
        "accept-encoding": "identity",
        "content-length": str(len(body)),
        **headers,
    }
    async with (
        httpcore2.AsyncConnectionPool(ssl_context=_tls(), http1=True, http2=False, retries=0) as pool,
        pool.stream(
            "POST",
            url,
            headers=list(request.items()),
            content=body,
            extensions={"sni_hostname": destination.server_name},
        ) as response,
    ):
        reply.status = response.status
        reply.retry_after = _header(response.headers, b"retry-after")
        async for chunk in response.aiter_stream():
            reply.body += chunk
            if len(reply.body) >= MAX_BODY:
                del reply.body[MAX_BODY:]
                break


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def in_thread(work: Callable[[], Destination]) -> Destination:
    """Run in a thread of its own: the loop's executor would make asyncio.run wait for a DNS server that hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Destination] = loop.create_future()

    def settle(result: Destination | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - handed to the one who waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="webhook-dns", daemon=True).start()
    return await done


def _answer(reply: _Reply, error: str | None, *, duration_ms: int) -> Answer:
    status = reply.status
    ok = error is None and status is not None and 200 <= status < 300
    if error is None and not ok:
        redirect = status is not None and 300 <= status < 400
        error = f"answered {status}: redirects are not followed" if redirect else f"answered {status}"
    text = reply.body[: 4 * EXCERPT_LENGTH + 64].decode(errors="replace")
    printable = "".join(" " if character.isspace() else character for character in text)
    return Answer(
        ok=ok,
        status=status,
        excerpt="".join(filter(str.isprintable, printable))[:EXCERPT_LENGTH].strip(),
        error=error,
        gone=status == GONE,
        retry_after_s=None if ok else retry_after_s(reply.retry_after, now=datetime.now(UTC)),
        duration_ms=duration_ms,
    )


def retry_after_s(value: str, *, now: datetime) -> float | None:
    """Seconds from a Retry-After header, a number or an HTTP date; at most a day, None when it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def _cause(error: BaseException) -> str:
    """The words of the innermost cause: the wrappers around it often have none."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return str(error) or type(error).__name__
