"""The fresh proof of who somebody is that secrets ask for, told by the app that knows people.

`events` stands below `accounts`. An upper app registers one function in `AppConfig.ready()`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

View = TypeVar("View", bound=Callable[..., Any])
Guard = Callable[[HttpRequest | Request], HttpResponse | None]


def _open(_request: HttpRequest | Request) -> HttpResponse | None:
    return None


_guard: Guard = _open


def register_guard(guard: Guard) -> None:
    """`guard` answers None to go on, or where to prove it; in an API view it raises the refusal."""
    global _guard  # noqa: PLW0603  one provider, set once at start
    _guard = guard


def fresh_proof(view: View) -> View:
    """For a view function, or a method of the admin or of an API view. Programs with a token are not asked: it has scopes."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        request = next(arg for arg in args if isinstance(arg, HttpRequest | Request))
        by_token = isinstance(request, Request) and request.auth is not None
        refusal = None if by_token else _guard(request)
        return view(*args, **kwargs) if refusal is None else refusal

    return cast("View", guarded)
