"""Fetch what one person can reach: every route there is, with every id there is, and what those pages link to."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import unescape
from itertools import product
from urllib.parse import urljoin, urlsplit

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
LINK = re.compile(r"""(?:href|src|action|hx-get|data-url|data-src|data-chart)=["']([^"'#]+)["']""")
JSON_LINK = re.compile(r"""https?://testserver(/[^"\\\s]*)""")
ID = re.compile(r"(?<=/)(?:\d+|[0-9a-f-]{36})(?=/|$)")
VARIED = 2  # rows of one page that are asked for with every query
NEVER = ("/accounts/logout/", "/static/", "/admin/login/")
# The doors of sign-in and what load balancers ask take no parameters.
UNVARIED = (
    "/admin/",
    "/accounts/log",
    "/accounts/pass",
    "/accounts/sign",
    "/accounts/re",
    "/livez",
    "/readyz",
    "/favicon",
)


class Crawler:
    """Walks as the door's person; `bodies` holds what every address answered, headers included."""

    def __init__(
        self,
        door: Client,
        ids: dict[str, Iterable[object]],
        *,
        start: str = "/",
        but: tuple[str, ...] = (),
        **headers: str,
    ) -> None:
        self.door = door
        self.start = start
        self.never = (*NEVER, *but)
        self.ids = {kind: [str(value) for value in values] for kind, values in ids.items()}
        self.headers = headers
        self.bodies: dict[str, str] = {}
        self.failed: list[str] = []

    def walk(self, queries: Iterable[str]) -> "Crawler":
        """Fetch every route, each with every query string, then follow links until nothing is new."""
        queries = list(queries)
        waiting = list(dict.fromkeys(self.addresses()))
        done: set[str] = set()
        varied: Counter[str] = Counter()
        while waiting:
            address = waiting.pop()
            if address in done or address.startswith(self.never) or not address.startswith(self.start):
                continue
            done.add(address)
            status, links = self.fetch(address)
            # A query is followed one link far: pages that link to themselves with one thing more have no end.
            waiting += [link for link in links if "?" not in link or "?" not in address or "cursor=" in link]
            page = ID.sub("#", address)
            if "?" not in address and status == 200 and not address.startswith(UNVARIED) and varied[page] < VARIED:
                varied[page] += 1
                waiting += [f"{address}?{query}" for query in queries]
        return self

    def fetch(self, address: str) -> tuple[int, list[str]]:
        answer = self.door.get(address, headers=self.headers)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        body = content.decode(errors="replace")
        self.bodies[address] = f"{answer.status_code} {dict(answer.headers)}\n{body}"
        if answer.status_code >= 500:
            self.failed.append(address)
        found = LINK.findall(body) + JSON_LINK.findall(body) + [answer.headers.get("Location", "")]
        links = [urljoin(address, unescape(link)) for link in found if link]
        return answer.status_code, [link for link in links if link.startswith("/") and not urlsplit(link).netloc]

    def addresses(self) -> Iterator[str]:
        for route in routes(get_resolver()):
            kinds = [kind or "str" for kind, _ in PARAMETER.findall(route)]
            for values in product(*(self.ids.get(kind, ["1"]) for kind in kinds)):
                filled = iter(values)
                yield PARAMETER.sub(lambda _, filled=filled: next(filled), route)

    def showing(self, mark: str) -> list[str]:
        """Addresses whose answer holds the mark."""
        return sorted(address for address, body in self.bodies.items() if mark in body)


def routes(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for entry in resolver.url_patterns:
        if not isinstance(entry.pattern, RoutePattern):
            continue
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry, URLPattern):
            yield route
