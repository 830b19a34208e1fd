"""Pages by key: each page starts after the last row of the one before, so rows that arrive meanwhile shift nothing.

DRF's own cursor never ends on telemetry, where thousands of rows share one minute; see docs/reference/api.md.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_ID = 2**31 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MICROSECONDS = 2**52  # the year 2112
BAD_CURSOR = "This cursor is not one of ours: take it from `next` of the page before, or leave it out to start again."


def encode_key(*parts: int) -> str:
    """An opaque cursor of whole numbers."""
    return urlsafe_b64encode(".".join(map(str, parts)).encode()).decode().rstrip("=")


def decode_key(cursor: str, limits: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a cursor, each from 0 to its limit; raises ValidationError (400) for anything else."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        raise ValidationError({"cursor": BAD_CURSOR}) from None
    parts = text.split(".")
    if len(parts) != len(limits) or not all(part.isdecimal() and len(part) <= 16 for part in parts):
        raise ValidationError({"cursor": BAD_CURSOR})
    numbers = tuple(map(int, parts))
    if any(number > limit for number, limit in zip(numbers, limits, strict=True)):
        raise ValidationError({"cursor": BAD_CURSOR})
    return numbers


def encode_moment_key(moment: datetime, number: int) -> str:
    return encode_key((moment - EPOCH) // timedelta(microseconds=1), number)


def decode_moment_key(cursor: str) -> tuple[datetime, int]:
    """The (time, id) that `encode_moment_key` was given; raises ValidationError (400)."""
    microseconds, number = decode_key(cursor, (MAX_MICROSECONDS, MAX_ID))
    return EPOCH + timedelta(microseconds=microseconds), number


def page_size(request: Request) -> int:
    """`?page_size=`, 1 to 1000; raises ValidationError (400), for a size that is silently another misleads."""
    wanted = request.query_params.get("page_size")
    if wanted is None:
        return PAGE_SIZE
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) <= 4 and 1 <= int(wanted) <= MAX_PAGE_SIZE):
        raise ValidationError({"page_size": f"Give a whole number from 1 to {MAX_PAGE_SIZE}."})
    return int(wanted)


def page(results: list[Any], next_url: str | None) -> Response:
    return Response({"results": results, "next": next_url})


def page_schema(item: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAPI schema of one page of the given array."""
    return {
        "type": "object",
        "required": ["results", "next"],
        "properties": {
            "results": item,
            "next": {"type": ["string", "null"], "format": "uri", "description": "The next page; null on the last."},
        },
    }


PAGE_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "cursor",
        "in": "query",
        "required": False,
        "description": "Where the page starts; taken from `next` of the page before.",
        "schema": {"type": "string"},
    },
    {
        "name": "page_size",
        "in": "query",
        "required": False,
        "description": "Rows per page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
    },
]


class KeyPages(BasePagination):
    """What pages by any key have in common: how the schema describes them."""

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return page_schema(schema)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return PAGE_PARAMETERS


class IdCursor(KeyPages):
    """Pages of rows that have an integer `id`, by ascending id; takes model and `.values()` querysets."""

    next_url: str | None = None
    max_id = MAX_ID
    beyond, order = "pk__gt", "pk"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        size = page_size(request)
        if cursor := request.query_params.get("cursor"):
            queryset = queryset.filter(**{self.beyond: decode_key(cursor, (self.max_id,))[0]})
        rows = list(queryset.order_by(self.order)[: size + 1])
        if len(rows) > size:
            rows.pop()
            last = rows[-1]["id"] if isinstance(rows[-1], dict) else rows[-1].pk
            self.next_url = replace_query_param(request.build_absolute_uri(), "cursor", encode_key(last))
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return page(data, self.next_url)


class NewestIdCursor(IdCursor):
    """The same with the newest row first, for records that grow without end."""

    max_id = 10**16 - 1  # as many digits as a cursor takes
    beyond, order = "pk__lt", "-pk"


class MomentCursor(KeyPages):
    """Pages of rows with a unique (time, id), newest first; the view asks with the `before` and `size` read here."""

    def read(self, request: Request) -> tuple[tuple[datetime, int] | None, int]:
        """The key of the last row already had, or None, and the rows per page; raises ValidationError (400)."""
        cursor = request.query_params.get("cursor")
        return decode_moment_key(cursor) if cursor else None, page_size(request)

    def respond(
        self, request: Request, rows: list[dict[str, Any]], size: int, *, number: str, fixed: Mapping[str, str]
    ) -> Response:
        """One page of `rows`, of which the view has asked for one more than `size`.

        `number` names the key's id column, the time being `recorded_at`; `fixed` are parameters to pin in the next link,
        so that a range relative to now stays where it was.
        """
        if len(rows) <= size:
            return page(rows, None)
        last = rows[size - 1]
        url = request.build_absolute_uri()
        for name, value in {**fixed, "cursor": encode_moment_key(last["recorded_at"], last.get(number, 0))}.items():
            url = replace_query_param(url, name, value)
        return page(rows[:size], url)
