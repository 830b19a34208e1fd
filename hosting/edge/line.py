"""The agent's line to the farm: HTTPS with the site's token. Every answer also tells the farm's time."""

import ipaddress
import ssl
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from hosting.edge.wire import MEDIA_TYPE, TIME_HEADER
from hosting.models.agents import PREFIX

CONNECT_S, ANSWER_S = 10.0, 60.0
LONGEST_ROUND_S = 10.0  # of an exchange that a clock is set by
TARGETS, READINGS = "/api/v1/agent/targets/", "/api/v1/agent/readings/"
FAR_FROM_NOW = timedelta(days=365 * 30)


class BadServer(ValueError):
    """An address that no token is sent to."""


class LineDown(Exception):
    """No answer, or one that says: later. `wait_s` is what the farm asked for, or 0."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Refused(Exception):
    """The farm does not take this: another token or address is needed."""


class BatchRefused(Exception):
    """The farm cannot take this batch; fewer minutes may do."""


class FarmClock:
    """The farm's time, by the last answer and this process's monotonic clock; before any answer, by the host's clock.

    The farm's minutes are those of its database. Whether the host's own clock is wrong, or is set while the agent runs, does
    not matter then; `ahead_s`, how far it is off, is remembered for a start without a line.
    """

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead_s = ahead_s
        self._heard: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._heard is None:
            return datetime.now(UTC) - timedelta(seconds=self._ahead_s)
        told, at = self._heard
        return told + timedelta(seconds=time.monotonic() - at)

    def minute(self) -> datetime:
        return self.now().replace(second=0, microsecond=0)

    @property
    def ahead_s(self) -> float:
        return (datetime.now(UTC) - self.now()).total_seconds()

    def hear(self, told: str | None, sent: float, received: float) -> None:
        """Set the clock by an answer; `sent` and `received` are monotonic. What is no time is passed over."""
        if told is None or received - sent > LONGEST_ROUND_S:
            return
        try:
            moment = datetime.fromisoformat(told).astimezone(UTC)
        except (ValueError, OverflowError):
            return
        if abs(moment - datetime.now(UTC)) < FAR_FROM_NOW:
            self._heard = (moment + timedelta(seconds=(received - sent) / 2), received)


@dataclass(frozen=True)
class TokenFile(httpx2.Auth):
    """Read for every request, so that a new token needs no restart; as `auth` it goes before what a .netrc says."""

    path: Path

    def read(self) -> str:
        """The token. Raises Refused."""
        try:
            token = self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{self.path} cannot be read ({error}): write the site's token into it.") from None
        if not token.startswith(PREFIX) or not token.isascii() or not token.isprintable() or " " in token:
            raise Refused(f"{self.path} holds no site token: they start with {PREFIX}. Make one in Admin, Site tokens.")
        return token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        request.headers["Authorization"] = f"Agent {self.read()}"
        yield request


class Line:
    """Two calls. `clock` hears the farm's time in every answer."""

    def __init__(self, server: str, token: TokenFile, clock: FarmClock, *, ca: Path | None = None) -> None:
        self.server, self.clock = checked(server), clock
        verify = ssl.create_default_context(cafile=ca) if ca else True
        self._client = httpx2.Client(
            base_url=self.server,
            auth=token,
            verify=verify,
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            headers={"User-Agent": "MineFarm-agent/1"},
        )

    def close(self) -> None:
        self._client.close()

    def targets(self, known_tag: str | None) -> tuple[str, dict[str, Any]] | None:
        """The entity tag and the document; None when it is the known one. Raises LineDown or Refused."""
        headers = {"If-None-Match": known_tag} if known_tag else {}
        answer = self._ask("GET", TARGETS, headers=headers)
        if answer.status_code == 304:
            return None
        return answer.headers.get("ETag", ""), self._document(answer)

    def report(self, batch: bytes) -> list[dict[str, Any]]:
        """What became of each minute. Raises LineDown, Refused or BatchRefused."""
        headers = {"Content-Type": MEDIA_TYPE, "Content-Encoding": "gzip"}
        answer = self._ask("POST", READINGS, headers=headers, content=batch)
        minutes = self._document(answer).get("minutes")
        if not isinstance(minutes, list):
            raise LineDown("the answer is not the farm's")
        return minutes

    def _ask(self, method: str, path: str, **said: Any) -> httpx2.Response:
        sent = time.monotonic()
        try:
            answer = self._client.request(method, path, **said)
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            raise LineDown(f"{type(error).__name__}: {error}") from None
        self.clock.hear(answer.headers.get(TIME_HEADER), sent, time.monotonic())
        if answer.status_code in {200, 304}:
            return answer
        raise refusal(answer)

    def _document(self, answer: httpx2.Response) -> dict[str, Any]:
        try:
            document = answer.json()
        except ValueError:
            raise LineDown("the answer is no JSON: is something between here and the farm?") from None
        if not isinstance(document, dict):
            raise LineDown("the answer is not the farm's")
        return document


def checked(server: str) -> str:
    """The farm's address without its path. Raises BadServer: over plain HTTP a token goes to this host alone."""
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadServer(f"{server!r} is no address: {error}") from None
    if parts.scheme not in {"https", "http"} or not host or parts.username or parts.path.strip("/") or parts.query:
        raise BadServer(f"{server!r} is no address of a farm: give one such as https://farm.example.com.")
    if parts.scheme == "http" and not is_loopback(host):
        raise BadServer(
            f"{server!r} is not encrypted: everybody on the way could read the token. Give its https address."
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(answer: httpx2.Response) -> Exception:
    """What an answer other than 200 and 304 means for the agent."""
    code, said = answer.status_code, message_of(answer)
    if code in {401, 403}:
        return Refused(f"the farm refuses the token: {said}")
    if code in {400, 413, 415}:
        return BatchRefused(f"{code}: {said}")
    if code == 404 or 300 <= code < 400:
        return Refused(f"{answer.url} answers {code}: give the address of a MineFarm that knows agents")
    try:
        wait_s = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        wait_s = 0.0
    return LineDown(f"{code}: {said}", min(max(wait_s, 0.0), 600.0))


def message_of(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase or "no reason given"
