"""Ending the sessions, and whatever else lets in, of people who may no longer come in."""

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models.functions import Now

from accounts.models import User

EndedHook = Callable[[Collection[UUID]], object]
ENDED_HOOKS: list[EndedHook] = []


def on_access_ended(hook: EndedHook) -> EndedHook:
    """Call this function with the ids of people who may no longer come in, in the transaction of the change.

    Every minute it is told again of all of them: it must do nothing where nothing is left to end.
    """
    ENDED_HOOKS.append(hook)
    return hook


def end_sessions(user_ids: Collection[UUID]) -> int:
    """Delete every session of these people; how many there were."""
    wanted = {str(user_id) for user_id in user_ids}
    if not wanted:
        return 0
    # A session does not say in a column whose it is.
    live = Session.objects.filter(expire_date__gt=Now()).iterator(chunk_size=2000)
    theirs = [session.pk for session in live if session.get_decoded().get(SESSION_KEY) in wanted]
    Session.objects.filter(pk__in=theirs).delete()
    UserSession.objects.filter(session_key__in=theirs).delete()  # the line on the person's page
    return len(theirs)


def close_doors(among: Iterable[UUID] | None = None) -> int:
    """End sessions, and what the hooks know of, of people who may not come in now; how many sessions ended."""
    out = User.objects.shut_out()
    if among is not None:
        out = out.filter(pk__in=list(among))
    ids = set(out.values_list("pk", flat=True))
    if not ids:
        return 0
    for hook in ENDED_HOOKS:
        hook(ids)
    return end_sessions(ids)
