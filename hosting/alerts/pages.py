"""The page of what is wrong now: all of it for staff, a customer's own machines for customers."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.access import actor, permission_required
from hosting.alerts import services
from hosting.alerts.kinds import AlertKind, AlertState, Severity
from hosting.models import Alert, Site

PAGE_SIZE = 100
GRAVITY = Case(
    *(When(severity=severity, then=Value(rank)) for rank, severity in enumerate(Severity)), output_field=IntegerField()
)


def gravest_first(alerts: "QuerySet[Alert]") -> "QuerySet[Alert]":
    """Open before taken on, then by severity, then the oldest."""
    taken = Case(When(state=AlertState.OPEN, then=Value(0)), default=Value(1), output_field=IntegerField())
    return alerts.order_by(taken, GRAVITY, "opened_at", "pk")


def wanted(alerts: "QuerySet[Alert]", request: HttpRequest) -> "QuerySet[Alert]":
    """Narrow by `severity`, `kind` and `site`; what makes no sense narrows to nothing."""
    for name, known in (("severity", Severity.values), ("kind", AlertKind.values)):
        if value := request.GET.get(name, ""):
            alerts = alerts.filter(**{name: value}) if value in known else alerts.none()
    if site := request.GET.get("site", ""):
        known_id = site.isascii() and site.isdecimal() and len(site) < 10
        alerts = alerts.filter(site=int(site)) if known_id else alerts.none()
    return alerts


def alert_table(request: HttpRequest) -> dict[str, Any]:
    """Context of the table: one page of alerts, the filters, and the query string that keeps them."""
    user = actor(request)
    mine = Alert.objects.for_user(user)
    # A customer's machines stand for themselves, whatever befell the rest of the site.
    shown = mine.on_top() if user.is_staff else mine.standing()
    alerts = gravest_first(wanted(shown, request)).select_related("miner", "site")
    if user.is_staff:
        alerts = alerts.select_related("acknowledged_by").defer("acknowledged_by__password")
    else:
        alerts = alerts.only(
            *("kind", "severity", "state", "opened_at", "last_seen_at", "evidence"),
            *("miner__serial_number", "site__name"),
        )
    query = request.GET.copy()
    for key in ("page", "partial"):
        query.pop(key, None)
    return {
        "nav": "alerts",
        "page_obj": Paginator(alerts, PAGE_SIZE).get_page(request.GET.get("page")),
        "querystring": query.urlencode(),
        "filter": {name: request.GET.get(name, "") for name in ("severity", "kind", "site")},
        "may_acknowledge": user.may("alert:acknowledge"),
    }


@require_safe
@permission_required("alert:view")
def alert_list(request: HttpRequest) -> HttpResponse:
    context = alert_table(request)
    if request.GET.get("partial") == "table":
        return render(request, "hosting/_alert_table.html", context)
    context |= {
        "severities": Severity.choices,
        "kinds": AlertKind.choices,
        "sites": list(Site.objects.for_user(actor(request)).values("id", "name")),
    }
    return render(request, "hosting/alerts.html", context)


@permission_required("alert:acknowledge")
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one alert on; the table as it is then, or without JavaScript the page."""
    user = actor(request)
    alert = get_object_or_404(Alert.objects.for_user(user), pk=pk)
    partial = "HX-Request" in request.headers
    try:
        services.acknowledge_one(alert, note=request.POST.get("note", "").replace("\x00", ""), by=user)
    except services.AlertOver as over:
        if not partial:
            messages.warning(request, str(over))
    return render(request, "hosting/_alert_table.html", alert_table(request)) if partial else redirect("hosting:alerts")
