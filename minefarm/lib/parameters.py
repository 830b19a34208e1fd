"""Parameters of an API request: known ones only, and each of a shape that can be searched for."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import django_filters
from django import forms
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

PAGE_PARAMETERS = frozenset({"cursor", "page_size", "format"})
MAX_ROW_ID = 2**31 - 1
MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
EARLIEST, LATEST = datetime(2009, 1, 3, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)  # since there is Bitcoin
WIDEST_OFFSET = timedelta(hours=14)
BAD_MOMENT = "Give a time such as 2026-11-23T10:00:00Z, between 2009 and 2100; in a URL write + as %2B."


def refuse_unknown_parameters(request: Request, known: frozenset[str]) -> None:
    """Raise ValidationError (400) for a parameter that would be ignored: a misspelt or empty filter would show everything."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        hint = f"There is no such parameter; known are {', '.join(sorted(known - {'format'}))}."
        raise ValidationError(dict.fromkeys(unknown, hint))
    empty = [name for name, value in request.query_params.items() if not str(value).strip()]
    if empty:
        raise ValidationError(dict.fromkeys(empty, "Give a value, or leave the parameter out."))


@extend_schema_field(OpenApiTypes.INT)
class RowIdFilter(django_filters.Filter):
    """A row's number; what cannot be one is refused (400), not searched for."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=1, max_value=MAX_ROW_ID, **kwargs)


@extend_schema_field(OpenApiTypes.BOOL)
class TruthFilter(django_filters.Filter):
    """`true` or `false`; anything else is refused (400), where django-filter would ignore it."""

    field_class = forms.TypedChoiceField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = (("true", "true"), ("false", "false"))
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", empty_value=None, **kwargs)


def parse_moment(name: str, text: str) -> datetime:
    """ISO 8601, UTC unless it says otherwise, as UTC; raises ValidationError (400) naming the parameter."""
    moment = _moment_or_none(text)
    if moment is None or not EARLIEST <= moment < LATEST:
        raise ValidationError({name: BAD_MOMENT})
    return moment


def _moment_or_none(text: str) -> datetime | None:
    if not MOMENT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if abs(moment.utcoffset() or timedelta()) > WIDEST_OFFSET:
            return None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
