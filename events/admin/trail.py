"""Actions of the admin on what jobs write: refused without the permission of that name, told and kept in the log."""

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from events.models.endpoints import Person


def person(request: HttpRequest) -> Person:
    return cast("Person", request.user)


def log(request: HttpRequest, rows: Iterable[Model], what: str) -> None:
    """One line of the admin's history per row."""
    chosen: Any = list(rows)
    if chosen:
        LogEntry.objects.log_actions(
            user_id=cast("Any", request.user.pk), queryset=chosen, action_flag=CHANGE, change_message=what
        )


def tell(request: HttpRequest, *, chosen: int, moved: int, what: str, outcome: str, why_not: str) -> None:
    """`2 events pending again. 1 left as it was: not finished.`"""
    text = f"{moved} {what if moved == 1 else plural(what)} {outcome}."
    if left := max(chosen - moved, 0):
        text += f" {left} left as {'it was' if left == 1 else 'they were'}: {why_not}."
    messages.add_message(request, messages.SUCCESS if moved else messages.WARNING, text)


def plural(what: str) -> str:
    return f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"


def preformatted(text: str) -> SafeString:
    """Text of a machine as it came; a long word must not widen the page of a phone."""
    style = "white-space: pre-wrap; overflow-wrap: anywhere"
    return format_html('<pre class="font-mono text-xs" style="{}">{}</pre>', style, text)
