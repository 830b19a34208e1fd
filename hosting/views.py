"""Customer and staff pages of the farm, server-rendered."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from accounts.access import actor, staff_required
from accounts.models import User
from events.models import OutboxEvent
from hosting import summary
from hosting.alerts.kinds import AlertState
from hosting.edge.silence import agent_hint
from hosting.models import Alert, MaintenanceTicket, Miner, MinerCommand, OperationLog, Site
from hosting.power import circuit_loads
from hosting.states import Collector, MinerStatus
from hosting.telemetry import series
from hosting.telemetry.export import write_csv

PAGE_SIZE = 50
LOG_LINES = 20
PAST_ALERTS, PAST_EVENTS = 10, 10
TICKETS_SHOWN = 10
COMMANDS_SHOWN = 10
MAX_HOURS = 10 * 366 * 24
CHART_RANGES = ((24, "24 h"), (168, "7 d"), (720, "30 d"), (2160, "90 d"), (8784, "1 y"))


@require_safe
@login_required
def miner_list(request: HttpRequest) -> HttpResponse:
    """The customer's home; staff see every machine."""
    user = actor(request)
    miners = Miner.objects.for_user(user)
    context = miner_table(request, miners)
    if request.GET.get("partial") == "table":
        return table_alone(request, context)
    context |= {
        "summary": summary.summarise(miners),
        "chart_url": None if user.is_staff else reverse("hosting:client_chart"),
        "chart_ranges": CHART_RANGES,
        "sites": list(Site.objects.for_user(user).values("id", "name")),
    }
    return render(request, "hosting/dashboard.html", context)


def table_alone(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The table as a search swaps it in; the address bar follows, so that a found page can be kept, sent and reloaded."""
    response = render(request, "hosting/_miner_table.html", context)
    query = request.GET.copy()
    query.pop("partial", None)
    shown = {key: value for key, value in query.items() if value and (key, value) != ("page", "1")}
    response["HX-Replace-Url"] = f"{request.path}?{urlencode(shown)}" if shown else request.path
    return response


def miner_table(request: HttpRequest, miners: "QuerySet[Miner]") -> dict[str, Any]:
    """Context of the machine table: one page of lines, the filters, and the query string that keeps them."""
    now = timezone.now()
    miners = summary.search(miners.filter(retired_at__isnull=True), request.GET.dict())
    found = miners.with_latest().order_by("serial_number")  # type: ignore[attr-defined]  # our QuerySet method
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    page.object_list = [summary.line(miner, now) for miner in page.object_list]
    query = request.GET.copy()
    for key in ("page", "partial"):
        query.pop(key, None)
    return {
        "page_obj": page,
        "filter": {key: request.GET.get(key, "") for key in ("q", "status", "site")},
        "querystring": query.urlencode(),
        "table_url": request.path,
        "show_client": actor(request).is_staff,
        "statuses": MinerStatus.choices,
        "nav": "miners",
    }


@require_safe
@login_required
def miner_detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = actor(request)
    joined = ("identity", "rack__building") if user.is_staff else ("identity",)
    miner = get_object_or_404(Miner.objects.for_user(user).with_latest().select_related(*joined), pk=pk)
    identity = getattr(miner, "identity", None)
    context = {
        "nav": "miners",
        "miner": {
            **summary.line(miner, timezone.now()),
            "purchase_date": miner.purchase_date,
            "warranty_start": miner.warranty_start,
            "warranty_expiry": miner.warranty_expiry,
            "retired_at": miner.retired_at,
            "place": f"{miner.rack}, slot {miner.slot}" if user.is_staff and miner.rack else None,
            "firmware": identity.firmware if identity else None,
            "reported_model": identity.model if identity else None,
            "address": miner.address if user.is_staff else None,
        },
        "latest": getattr(miner, "latest", None),
        "boards": getattr(getattr(miner, "latest", None), "boards", None) or [],
        "alerts": alerts_of(miner, user),
        "events": events_about(miner, user),
        "commands": MinerCommand.objects.filter(miner=miner).select_related("batch").order_by("-pk")[:COMMANDS_SHOWN]
        if user.may("minercommand:view")
        else (),
        "tickets": MaintenanceTicket.objects.for_user(user).filter(miner=miner)[:TICKETS_SHOWN],
        "chart_url": reverse("hosting:miner_chart", args=[miner.pk]),
        "chart_ranges": CHART_RANGES,
        "log": OperationLog.objects.for_user(user)
        .filter(miner=miner)
        .select_related("performed_by")
        .defer("performed_by__password")[:LOG_LINES],
    }
    return render(request, "hosting/miner_detail.html", context)


def alerts_of(miner: Miner, user: User) -> list[Alert]:
    """Standing alerts of the machine, then the newest that are over."""
    taken = Alert.objects.for_user(user).filter(miner=miner)
    if user.is_staff:
        taken = taken.select_related("acknowledged_by").defer("acknowledged_by__password")
    return list(taken.order_by("resolved_at", "-pk").standing()) + list(
        taken.filter(state=AlertState.RESOLVED).order_by("-resolved_at", "-pk")[:PAST_ALERTS]
    )


def events_about(miner: Miner, user: User) -> list[OutboxEvent]:
    """The newest events about the machine, for those who may look into the outbox."""
    if not user.may("outboxevent:view"):
        return []
    return list(OutboxEvent.objects.filter(aggregate_key=f"miner:{miner.pk}").order_by("-id")[:PAST_EVENTS])


@require_safe
@staff_required
def site_list(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "hosting/site_list.html",
        {"nav": "sites", "rows": summary.site_lines(Site.objects.for_user(actor(request)))},
    )


@require_safe
@staff_required
def site_detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = actor(request)
    site = get_object_or_404(Site.objects.for_user(user), pk=pk)
    miners = Miner.objects.for_user(user).filter(site=site)
    context = miner_table(request, miners)
    if request.GET.get("partial") == "table":
        return table_alone(request, context)
    sweeps = summary.last_sweeps(site.pk)
    figures = summary.summarise(miners)
    context |= {
        "nav": "sites",
        "site": site,
        "summary": figures,
        "load_percent": summary.load_percent(
            figures["power_kw"] and figures["power_kw"] * summary.KILO, site.capacity_mw
        ),
        "chart_url": reverse("hosting:site_chart", args=[site.pk]),
        "chart_ranges": CHART_RANGES,
        "sweeps": sweeps,
        "circuits": circuit_loads([site.pk]),
        "agent": agent_hint(site, timezone.now()) if user.is_staff and site.collector == Collector.AGENT else None,
        "failures": sweeps[0].failed if sweeps else {},
        "sites": [],
    }
    return render(request, "hosting/site_detail.html", context)


def charted_hours(request: HttpRequest) -> int:
    """`hours` of the address, one to ten years of them; a day when it is left out or makes no sense."""
    asked = request.GET.get("hours", "")
    return min(max(int(asked), 1), MAX_HOURS) if asked.isascii() and asked.isdecimal() and len(asked) < 8 else 24


def chart_answer(request: HttpRequest, chart: series.Chart, name: str) -> HttpResponse:
    """What charts.js draws, or with `as=csv` the same points as a file."""
    if request.GET.get("as") != "csv":
        return JsonResponse(chart.as_json())
    name = f"{slugify(name) or 'readings'}-{charted_hours(request)}h.csv"
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    write_csv(chart, answer)
    return answer


@require_safe
@login_required
def client_chart(request: HttpRequest) -> HttpResponse:
    chart = series.chart_for_client(actor(request).pk, until=timezone.now(), hours=charted_hours(request))
    return chart_answer(request, chart, "my-machines")


@require_safe
@login_required
def miner_chart(request: HttpRequest, pk: int) -> HttpResponse:
    miner = get_object_or_404(Miner.objects.for_user(actor(request)), pk=pk)
    chart = series.chart_for_miner(miner.pk, until=timezone.now(), hours=charted_hours(request))
    return chart_answer(request, chart, miner.serial_number)


@require_safe
@staff_required
def site_chart(request: HttpRequest, pk: int) -> HttpResponse:
    site = get_object_or_404(Site.objects.for_user(actor(request)), pk=pk)
    chart = series.chart_for_site(site.pk, until=timezone.now(), hours=charted_hours(request))
    return chart_answer(request, chart, site.name)
