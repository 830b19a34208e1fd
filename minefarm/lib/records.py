"""What the admin pages of every app share: pages of rows to edit, pages of records to look at, and how old a record is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from django.db.models import Model, TextField
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminTextInputWidget

UNKNOWN = "–"

Method = TypeVar("Method", bound=Callable[..., object])


def column(
    description: str, *, ordering: str | None = None, label: Mapping[Any, str] | None = None
) -> Callable[[Method], Method]:
    """A column or read-only field of an admin page; `label` maps values to colours of a badge."""
    return cast("Callable[[Method], Method]", display(description=description, ordering=ordering, label=label))


class FarmAdmin(ModelAdmin):
    """A page of rows that staff edit. The specification's TEXT columns are names and addresses: one line each."""

    formfield_overrides: Any = {TextField: {"widget": UnfoldAdminTextInputWidget}}
    list_per_page = 100
    show_full_result_count = False


class RecordAdmin(ModelAdmin):
    """Look, search, filter: no adding, no changing, no deleting, whatever the role."""

    list_per_page = 100
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class GrowingRecordAdmin(RecordAdmin):
    """Records without an end: counting them for every page would be dear, so there is only a next and a previous page."""

    paginator = InfinitePaginator


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
    return format_html(
        '<span title="{} UTC">{}</span>', f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}", age(moment, now)
    )
