"""Asking a source over HTTP: to the host of its base URL only, no redirects, a bounded reply, numbers read exactly.

There is no time limit here: whoever asks sets one for everything from DNS to the last byte.
"""

import base64
import functools
import json
import socket
import ssl
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from analytics.providers.quotes import BadReply, Fetch
from events.sinks.guard import DEFAULT_PORTS, Destination, Lookup, TargetRefused, resolve
from events.sinks.webhook import in_thread

MAX_REPLY = 256 * 1024
USER_AGENT = "MineFarm/0.1.0 (market data, every 15 minutes)"


class SourceFailed(Exception):
    """No usable answer; `outcome` is one word for records, the message says more."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


def fetcher(
    base_url: str,
    *,
    inner_targets: Collection[str] = (),
    login: tuple[str, str] | None = None,
    lookup: Lookup = socket.getaddrinfo,
    plain: bool = False,
) -> Fetch:
    """A Fetch below `base_url`. It raises SourceFailed, and BadReply for what is no JSON.

    Plain HTTP and private addresses are for `inner_targets` (`host:port`) alone. `plain`: the
    reply is text in UTF-8, not JSON.
    """
    base = base_url.rstrip("/")
    headers = {"authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()} if login else {}

    async def fetch(path: str, send: object = None) -> Any:
        body = None if send is None else json.dumps(send).encode()
        try:
            destination = await in_thread(lambda: resolve(base + path, lookup, inner_targets=inner_targets))
            reply = await _exchange(destination, headers, body)
            return reply.decode("utf-8-sig") if plain else read_json(reply)
        except UnicodeDecodeError as error:
            raise BadReply(f"no UTF-8: {error}") from error
        except TargetRefused as refused:
            raise SourceFailed("refused", str(refused)) from refused
        except (
            OSError,
            UnicodeError,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.TimeoutException,
        ) as error:
            raise SourceFailed("unreachable", f"{type(error).__name__}: {error}") from error

    return fetch


def target_of(base_url: str) -> str:
    """`host:port` of a base URL, as `inner_targets` lists it; nothing for what is no URL."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return ""
    host = parts.hostname or ""
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if host else ""


def read_json(body: bytes) -> Any:
    """The document with its numbers as Decimal; raises BadReply, also for NaN and for nesting without an end."""
    try:
        return json.loads(body, parse_float=_decimal, parse_int=_decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadReply(f"no JSON: {str(error)[:80]}") from None


async def _exchange(destination: Destination, headers: Mapping[str, str], body: bytes | None) -> bytes:
    url = httpcore2.URL(
        scheme=destination.scheme, host=destination.address, port=destination.port, target=destination.path
    )
    request = {
        "host": destination.authority,
        "connection": "close",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        **headers,
    }
    if body is not None:
        request |= {"content-type": "application/json", "content-length": str(len(body))}
    received = bytearray()
    async with (
        httpcore2.AsyncConnectionPool(ssl_context=_tls(), http1=True, http2=False, retries=0) as pool,
        pool.stream(
            "GET" if body is None else "POST",
            url,
            headers=list(request.items()),
            content=body,
            extensions={"sni_hostname": destination.server_name},
        ) as response,
    ):
        if response.status != 200:
            raise SourceFailed("http_error", f"answered {response.status}")
        async for chunk in response.aiter_stream():
            received += chunk
            if len(received) > MAX_REPLY:
                raise SourceFailed("bad_reply", f"more than {MAX_REPLY} bytes")
    return bytes(received)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _decimal(text: str) -> Any:
    if len(text) > 100:
        raise ValueError("a number of more than 100 digits")
    return Decimal(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")
