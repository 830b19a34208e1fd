"""The second wall around customers: every view of a client or guest runs as PostgreSQL's role for the portal.

Entered just before the view, when the person is known, and left before sessions and messages are saved; a streamed answer is
read behind the wall, too.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from rest_framework.views import APIView

from accounts.api.authentication import find_bearer
from accounts.models import User
from minefarm.lib.rls import walled

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
# allauth writes passwords, sessions and second factors, each of the person who is signed in, by its own checks.
OUTSIDE_MODULES = ("allauth.",)


def outside_the_wall(reason: str) -> Callable[[View], View]:
    """Let a view run with the application's own rights for everybody; its queries must say whose rows they mean."""

    def mark(view: View) -> View:
        view.outside_the_wall = reason  # type: ignore[attr-defined]  # read by RowSecurity
        return view

    return mark


class RowSecurity:
    """Middleware; the innermost one, so that nothing but the view runs behind the wall."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.wall = Wall()  # type: ignore[attr-defined]  # ours
        with request.wall as wall:  # type: ignore[attr-defined]
            response = self.get_response(request)
            if wall.reader is not None:
                if response.status_code >= 500:
                    transaction.set_rollback(True)
                if isinstance(response, StreamingHttpResponse):
                    response.streaming_content = behind(wall.reader, response.streaming_content)  # type: ignore[arg-type]  # never asynchronous here
        return response

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        reader = reader_of(request, view)
        if reader is not None and not is_outside(view):
            request.wall.enter(reader)  # type: ignore[attr-defined]
        return None


class Wall(ExitStack):
    """The wall of one request; `reader` is None while nobody is behind it."""

    reader: UUID | None = None

    def enter(self, reader: UUID) -> None:
        self.enter_context(walled(reader))
        self.reader = reader


def reader_of(request: HttpRequest, view: Any) -> UUID | None:
    """The client or guest for whom the view will run: a token's owner in the API, else who is signed in."""
    is_api = isinstance(getattr(view, "cls", None), type) and issubclass(view.cls, APIView)
    token = find_bearer(request).token if is_api else None
    user = token.user if token is not None else getattr(request, "user", None)
    return user.pk if isinstance(user, User) and not user.is_staff else None


def is_outside(view: Any) -> bool:
    module = str(getattr(view, "__module__", ""))
    return hasattr(view, "outside_the_wall") or module.startswith(OUTSIDE_MODULES)


def behind(reader: UUID, content: Iterator[bytes]) -> Iterator[bytes]:
    """The parts of a streamed answer, each made behind the wall: the view's own transaction is over by then."""
    with walled(reader):
        yield from content
