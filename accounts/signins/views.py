"""A person's own sign-ins and sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.http import require_POST, require_safe

from accounts.access import actor
from accounts.middleware import limits_of
from accounts.models import LoginRecord
from accounts.rls import outside_the_wall
from accounts.second_factor import must_have_one
from accounts.signins.places import location_of
from minefarm.lib.browsers import device_name

SHOWN_SIGN_INS = 20

OWN = "one's own sign-ins and sessions, each query by the person who is signed in"


@dataclass(frozen=True, slots=True)
class Line:
    """A session as its owner sees it."""

    id: int
    device: str
    address: str
    location: str | None
    began_at: datetime
    last_seen_at: datetime
    is_this_one: bool


@outside_the_wall(OWN)
@login_required
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    user = actor(request)
    UserSession.objects.create_from_request(request)  # this one is seen now
    factors = {factor.type: factor for factor in Authenticator.objects.filter(user=user)}
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    return render(
        request,
        "accounts/security.html",
        {
            "nav": "security",
            "sessions": sessions_of(request),
            "sign_ins": LoginRecord.objects.of(user)[:SHOWN_SIGN_INS],
            "second_factor": factors.get(Authenticator.Type.TOTP),
            "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
            "must_have_second_factor": must_have_one(user),
        },
    )


def sessions_of(request: HttpRequest) -> list[Line]:
    """Live sessions of the person, this one first, then the latest seen."""
    lines = [
        Line(
            session.pk,
            device_name(session.user_agent),
            session.ip,
            location_of(session.ip),
            session.created_at,
            session.last_seen_at,
            session.is_current(),
        )
        for session in UserSession.objects.purge_and_list(actor(request))
        if not over(session)
    ]
    return sorted(lines, key=lambda line: (line.is_this_one, line.last_seen_at), reverse=True)


def over(session: UserSession) -> bool:
    """Idle or old: the next request would find it ended (accounts/middleware.py)."""
    idle_s, whole_s = limits_of(session.user)
    idle, age = timezone.now() - session.last_seen_at, timezone.now() - session.created_at
    return bool(idle > timedelta(seconds=idle_s) or age > timedelta(seconds=whole_s))


@outside_the_wall(OWN)
@login_required
@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    session = get_object_or_404(UserSession, pk=pk, user=actor(request))
    if session.is_current():
        return redirect("account_logout")
    session.end()
    messages.success(request, f"The session of {device_name(session.user_agent)} is over.")
    return redirect("account_security")


@outside_the_wall(OWN)
@login_required
@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    end_other_sessions(request, actor(request))
    messages.success(request, "All other sessions are over.")
    return redirect("account_security")


def the_one_door(request: HttpRequest, **_context: object) -> HttpResponse:
    """The admin's sign-in page: leads to everybody's, whatever the method, so that its limits and second factor hold."""
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/admin/"
    if not request.user.is_authenticated:
        return redirect(f"/accounts/login/?{urlencode({'next': target})}")
    if not actor(request).is_staff:
        raise PermissionDenied
    return redirect(target)
