"""Pages that span the apps: where a person lands, and what a load balancer asks."""

from django.contrib.auth.decorators import login_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import actor


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Staff land on the sites, customers on their machines."""
    return redirect("hosting:sites" if actor(request).is_staff else "hosting:miners")


@require_safe
@never_cache
def livez(_request: HttpRequest) -> HttpResponse:
    """The process answers; touches nothing."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(_request: HttpRequest) -> HttpResponse:
    """The database answers, so a request can be served."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("the database does not answer\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


def too_many(request: HttpRequest) -> HttpResponse:
    """allauth's limits, of resets and confirmations, are per minute or five."""
    response = render(request, "429.html", status=429)
    response["Retry-After"] = "60"
    return response
