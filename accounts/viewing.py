"""View as client: staff look at the portal through the eyes of a client or guest. Looking only, and always on record."""

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import ValidationError
from django.db.models import F
from django.db.models.functions import Least, Now
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from accounts.middleware import by_itself
from accounts.models import Impersonation, User
from accounts.models.viewing import AT_MOST
from accounts.roles import VIEWABLE_ROLES
from accounts.services import NotAllowed

log = logging.getLogger(__name__)

KEY = "viewing_as"
STOP_PATH = "/view-as/stop/"
LOGOUT_PATH = "/accounts/logout/"
# Pages about the person who is signed in, the admin and the API: not what a client looks at, or not for who plays the client.
CLOSED = ("/admin/", "/api/", "/accounts/", "/account/", "/view-as/")
PROBES = ("/livez", "/readyz")
READING = frozenset({"GET", "HEAD", "OPTIONS"})


def begin(request: HttpRequest, viewed: User, *, reason: str, by: User) -> Impersonation:
    """Show this session the portal as that person sees it, for 30 minutes. Raises NotAllowed and ValidationError."""
    if not by.may("user:viewas") or by.pk == viewed.pk or viewed.role not in VIEWABLE_ROLES:
        raise NotAllowed("Only clients and guests are viewed as, by owners and administrators.")
    if not (viewed.is_active and viewed.has_access):
        raise ValidationError(f"{viewed} has no access at present, so there is nothing that they see.")
    if not reason.strip():
        raise ValidationError({"reason": "Say why: it stays on record."})
    viewing = Impersonation.objects.create(by_user=by, as_user=viewed, reason=reason.strip())
    request.session[KEY] = viewing.pk
    log.info("%s begins to view as %s: %s", by.email, viewed.email, viewing.reason)
    return viewing


def stop(request: HttpRequest) -> None:
    """End what this session is viewing, if it is; an end that nobody noticed was after 30 minutes."""
    viewing_id = request.session.pop(KEY, None)
    if viewing_id is not None:
        ended_at = Least(Now(), F("started_at") + AT_MOST)
        Impersonation.objects.filter(pk=viewing_id, ended_at=None).update(ended_at=ended_at)


class ViewAs:
    """Middleware after everything that is about the person who is signed in, and before everything that shows rows.

    `request.user` becomes the client, so that every filter holds; `request.real_user` is who looks, `request.viewing` the record.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or request.path in PROBES:
            return self.get_response(request)
        if KEY in request.session and request.path not in {STOP_PATH, LOGOUT_PATH}:
            viewing = live_viewing(request)
            refusal = end(request) if viewing is None else show(request, viewing)
            if refusal is not None:
                return refusal
        return self.get_response(request)


def live_viewing(request: HttpRequest) -> Impersonation | None:
    """What this session is viewing, unless it is over or one of the two may no longer."""
    by = request.user
    if not (isinstance(by, User) and by.may("user:viewas")):
        return None
    viewing = Impersonation.objects.live().filter(pk=request.session[KEY], by_user=by).first()
    if viewing is None:
        return None
    viewed = User.objects.find_with_standing(viewing.as_user_id)
    if viewed is None or viewed.role not in VIEWABLE_ROLES or not (viewed.is_active and viewed.has_access):
        return None
    viewing.by_user, viewing.as_user = by, viewed
    return viewing


def show(request: Any, viewing: Impersonation) -> HttpResponse | None:
    """Put the client into the request; the refusal of what is not looking at the portal."""
    request.real_user, request.viewing, request.user = viewing.by_user, viewing, viewing.as_user
    request._cached_user = viewing.as_user  # noqa: SLF001  where Django's get_user() looks
    log.info("%s as %s: %s %s", viewing.by_user.email, viewing.as_user.email, request.method, request.path)
    if request.path.startswith(CLOSED) or request.method not in READING:
        return refuse(request, "You are viewing as somebody else, which is for looking only. Stop viewing first.")
    return None


def end(request: HttpRequest) -> HttpResponse | None:
    """It is over: staff go on as themselves, but nothing that a viewed page sent runs with their rights.

    A part that such a page fetches by itself leaves the session as it is, so that the whole page is what changes.
    """
    record = Impersonation.objects.select_related("as_user").get(pk=request.session[KEY])
    over = f"Your view as {record.as_user} is over."
    if by_itself(request):
        return refuse(request, over)
    stop(request)
    if request.method not in READING:
        return refuse(request, f"{over} Nothing was changed.")
    messages.info(request, over)
    return None


def refuse(request: HttpRequest, message: str) -> HttpResponse:
    if "HX-Request" in request.headers:  # a part of an open page: the whole page then gets the answer
        response = HttpResponse(message, status=403, headers={"HX-Refresh": "true"})
    elif request.path.startswith("/api/"):
        response = JsonResponse({"error": {"code": "viewing_as", "message": message}}, status=403)
    else:
        response = render(request, "accounts/viewing_refused.html", {"message": message}, status=403)
    add_never_cache_headers(response)
    return response


@receiver(user_logged_out, dispatch_uid="accounts.viewing.signed_out")
def signed_out(request: HttpRequest | None, **_kwargs: Any) -> None:
    """Sent before the session is emptied."""
    if request is not None and KEY in getattr(request, "session", {}):
        stop(request)
