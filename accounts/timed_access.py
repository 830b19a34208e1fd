"""Access for a time: refused at the next request after its end."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from accounts.models import User

PROBES = ("/livez", "/readyz")  # answer without the database, whoever asks
ENDED = "Your access to this farm has ended. Ask the people who host it."


class AccessWindow:
    """Middleware after AuthenticationMiddleware: who has no access at this moment is signed out and told so."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.path not in PROBES:
            user = request.user
            if isinstance(user, User) and not user.has_access:
                return refuse(request)
        return self.get_response(request)


def refuse(request: HttpRequest) -> HttpResponse:
    if "HX-Request" in request.headers:  # a part of an open page: the whole page then gets the answer below
        response = HttpResponse(ENDED, status=403, headers={"HX-Refresh": "true"})
    elif request.path.startswith("/api/"):
        logout(request)
        response = JsonResponse({"error": {"code": "access_ended", "message": ENDED}}, status=403)
    else:
        logout(request)
        response = render(request, "accounts/access_ended.html", status=403)
    add_never_cache_headers(response)
    return response
