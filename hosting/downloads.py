"""CSV files to download, sent while they are read: however many rows there are, few are in memory."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import StringIO
from itertools import islice

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from hosting.cells import harmless

A_PART = 500  # rows


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """A file in UTF-8 that no spreadsheet program takes a formula from; what is not known is empty, times are ISO 8601."""
    reply = StreamingHttpResponse(parts(columns, rows), content_type="text/csv; charset=utf-8")
    reply["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    return reply


def parts(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The file's head, then so many rows at a time."""
    yield text([columns])
    left = iter(rows)
    while some := list(islice(left, A_PART)):
        yield text([cell(value) for value in row] for row in some)


def text(rows: Iterable[Iterable[object]]) -> str:
    target = StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    return target.getvalue()


def cell(value: object) -> object:
    """Figures as they are, below zero too; texts made harmless."""
    if isinstance(value, datetime):
        return value.isoformat()
    return harmless(value) if isinstance(value, str) else value
