"""What holds for every request of a signed-in person: sessions end in time, pages stay out of caches, staff prove more."""

import time
from collections.abc import Callable
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from accounts.models import User
from accounts.second_factor import has_one, must_have_one
from accounts.signins.devices import write_pending
from accounts.signins.door import please_wait
from accounts.signins.hashing import HashersBusy
from accounts.signins.limits import TooManyTries

BEGAN, SEEN = "began_at", "seen_at"
TOUCH_EVERY_S = 60
# Where somebody without their required second factor may still go.
OPEN_PATHS = ("/accounts/2fa/", "/accounts/logout/", "/accounts/reauthenticate/", "/livez", "/readyz")
PROBES = ("/livez", "/readyz")  # answer without the database, whoever asks

GetResponse = Callable[[HttpRequest], HttpResponse]


@receiver(user_logged_in, dispatch_uid="accounts.middleware.begin")
def begin(request: HttpRequest, **_kwargs: Any) -> None:
    request.session[BEGAN] = request.session[SEEN] = int(time.time())


class SessionLimits:
    """End a session that was idle too long or is too old, and keep its line on the person's page.

    Refreshes that pages make by themselves are no sign of life: a forgotten screen is idle.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        signed_in = request.path not in PROBES and has_session(request) and isinstance(request.user, User)
        if signed_in:
            self.keep_or_end(request, int(time.time()))
        response = self.get_response(request)
        write_pending(request, response)
        if signed_in and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store, private"
        return response

    def keep_or_end(self, request: HttpRequest, now: int) -> None:
        session = request.session
        idle_s, whole_s = limits_of(request.user)
        began, seen = session.setdefault(BEGAN, now), session.setdefault(SEEN, now)
        if now - seen > idle_s or now - began > whole_s:
            UserSession.objects.filter(session_key=session.session_key).delete()
            logout(request)
        elif now - seen >= TOUCH_EVERY_S and not by_itself(request):
            session[SEEN] = now
            UserSession.objects.create_from_request(request)


def has_session(request: HttpRequest) -> bool:
    """Without the cookie there is nobody to look up."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def limits_of(user: Any) -> tuple[int, int]:
    """Seconds a session may be idle, and last in all."""
    if user.is_staff:
        return settings.SESSION_STAFF_IDLE_S, settings.SESSION_STAFF_MAX_S
    return settings.SESSION_CLIENT_IDLE_S, settings.SESSION_CLIENT_MAX_S


def by_itself(request: HttpRequest) -> bool:
    """Whether a script of the page asks, not the person."""
    return request.method == "GET" and (
        "HX-Request" in request.headers or request.headers.get("Sec-Fetch-Dest") == "empty"
    )


class SecondFactorRequired:
    """Owners and admins set up a second factor before anything else."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.REQUIRE_SECOND_FACTOR and self.is_missing(request):
            if request.path.startswith("/api/"):
                message = "Your role needs a second factor: set it up at /accounts/2fa/totp/activate/."
                return JsonResponse({"error": {"code": "second_factor_required", "message": message}}, status=403)
            return redirect("mfa_activate_totp")
        return self.get_response(request)

    def is_missing(self, request: HttpRequest) -> bool:
        if request.path.startswith(OPEN_PATHS) or not has_session(request):
            return False
        user = request.user
        return isinstance(user, User) and must_have_one(user) and not has_one(user)


class PleaseWait:
    """Passwords that may not be tried now get a page that says when, wherever they were typed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, TooManyTries | HashersBusy):
            return please_wait(request, error.wait_s)
        return None
