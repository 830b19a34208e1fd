"""Admin pages of what jobs write and nobody edits, and how old such a record is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

UNKNOWN = "–"

Method = TypeVar("Method", bound=Callable[..., object])


def column(
    description: str, *, ordering: str | None = None, label: Mapping[Any, str] | None = None
) -> Callable[[Method], Method]:
    """A column or read-only field of an admin page; `label` maps values to colours of a badge."""
    return cast("Callable[[Method], Method]", display(description=description, ordering=ordering, label=label))


class RecordAdmin(ModelAdmin):
    """Look, search, filter: no adding, no changing, no deleting, whatever the role."""

    list_per_page = 100
    show_full_result_count = False
    paginator = InfinitePaginator  # such tables grow: counting them on every page is dear

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest fitting unit; a dash for never."""
    if moment is None:
        return UNKNOWN
    past = max(now - moment, timedelta())
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if past >= length:
            return f"{past // length} {unit} ago"
    return f"{past.seconds} s ago"


def age_with_moment(moment: datetime | None, now: datetime) -> SafeString | str:
    """The age, with the moment itself in UTC where the pointer rests."""
    if moment is None:
        return UNKNOWN
    return format_html('<span title="{} UTC">{}</span>', f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}", age(moment, now))
