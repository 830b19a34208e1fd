"""Every route of the farm, and how to ask for it."""

import re
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

# Dead ends that only say that there is nothing.
NOT_ROUTES = (re.compile(r"\^\.\*"), re.compile(r"\(\?P<url>"))
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>(?:[^()]|\([^)]*\))*\)")


def routes() -> list[str]:
    """Patterns as Django knows them, made readable: `/miners/<int:pk>/`."""
    found = {clean(route) for route in walk(get_resolver()) if not any(end.search(route) for end in NOT_ROUTES)}
    return sorted(found)


def walk(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from walk(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


def clean(route: str) -> str:
    """A route without the marks of regular expressions; its parameters keep their names."""
    if "(?P" in route or "^" in route:
        route = PARAMETER.sub(lambda found: f"<{found[1] or found[2]}>", route).replace("^", "").replace("\\", "")
        route = route.removesuffix("$")
    return route


def parameters(route: str) -> list[str]:
    return [found[1] or found[2] for found in PARAMETER.finditer(route)]


def methods(route: str) -> tuple[str, ...]:
    """What is tried: pages know reading and posting, resources of the API all five."""
    if route.startswith("/api/"):
        return ("GET", "POST", "PUT", "PATCH", "DELETE")
    return ("GET", "POST")


def fill(route: str, values: dict[str, object]) -> str:
    """The path with a value for each parameter; KeyError names one that the test has no object for."""
    return PARAMETER.sub(lambda found: str(values[found[1] or found[2]]), route)
