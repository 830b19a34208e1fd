"""The fleet page's doors: the list, acting on a choice of it, and searches that are kept."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import actor, staff_required
from accounts.models import User
from accounts.stepup import step_up
from hosting import services, summary
from hosting.alerts.kinds import Severity
from hosting.commands.ordering import KeyReused, WrongOrder
from hosting.fleet.search import FleetQuery, after, cursor_of, in_order, is_id, status_counts
from hosting.fleet.verbs import VERBS, Verb, outcome
from hosting.models import Alert, Miner, MinerModel, Rack, SavedView, Site
from hosting.states import MinerStatus

PAGE_SIZE = 100
SHOWN = 20
NAME_LENGTH = 60
COLUMNS = (
    ("serial", "Machine", False),
    ("hashrate", "TH/s", True),
    ("efficiency", "J/TH", True),
    ("temperature", "Chip, °C", True),
    ("seen", "Last reading", True),
)


@require_safe
@staff_required
def fleet(request: HttpRequest) -> HttpResponse:
    user = actor(request)
    query = FleetQuery.parse(request.GET.dict())
    miners = reachable(user)
    counts = status_counts(query.narrow_but_status(miners))
    total = counts[query.status] if query.status in counts else sum(counts[status.value] for status in MinerStatus)
    lines, following = page_of(query, miners, request.GET.get("after", ""))
    context = {
        "nav": "fleet",
        "query": query,
        "querystring": query.encode(),
        "lines": lines,
        "total": total,
        "chips": chips(query, counts),
        "columns": columns(query),
        "next": following and f"?{query.encode()}{'&' if query.encode() else ''}after={following}",
        "is_first": not request.GET.get("after"),
        "verbs": [(name, verb.title) for name, verb in VERBS.items() if user.may(verb.permission)],
        "views": [(view, view.query == query.encode()) for view in saved_views(user)],
        **choices(user, miners),
    }
    return render(request, "hosting/fleet.html", context)


def reachable(user: User) -> "QuerySet[Miner]":
    """Machines in service that the person reaches."""
    return Miner.objects.for_user(user).in_service()


def page_of(query: FleetQuery, miners: "QuerySet[Miner]", cursor: str) -> tuple[list[dict[str, Any]], str]:
    """One page of lines, and the cursor of the next page or ""."""
    now = timezone.now()
    found = in_order(query.narrow(miners), query.sort, now)
    rows = list(after(found, query.sort, cursor).with_latest()[: PAGE_SIZE + 1])  # type: ignore[attr-defined]  # our QuerySet method
    following = cursor_of(rows[PAGE_SIZE - 1]) if len(rows) > PAGE_SIZE else ""
    rows = rows[:PAGE_SIZE]
    troubles = gravest_alerts([miner.pk for miner in rows])
    return [fleet_line(miner, now, troubles.get(miner.pk, [])) for miner in rows], following


def gravest_alerts(ids: list[int]) -> dict[int, list[Alert]]:
    """Standing alerts of the machines, the gravest first."""
    found: dict[int, list[Alert]] = {}
    for alert in Alert.objects.standing().filter(miner__in=ids).order_by("opened_at"):
        found.setdefault(alert.miner_id or 0, []).append(alert)
    for alerts in found.values():
        alerts.sort(key=lambda alert: Severity.values.index(alert.severity))
    return found


def fleet_line(miner: Miner, now: Any, alerts: list[Alert]) -> dict[str, Any]:
    line = summary.line(miner, now)
    power, rate = line["power_w"], line["hashrate_ths"]
    ratio: Decimal | None = power / rate if power is not None and rate else None
    return {**line, "address": miner.address, "efficiency": ratio, "alerts": alerts}


def chips(query: FleetQuery, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts by status, each a link that filters, and that of machines with an alert."""
    everything = sum(counts[status.value] for status in MinerStatus)
    found = [
        {"label": "All", "count": everything, "url": query.encode(status=""), "on": not query.status, "status": ""}
    ]
    found += [
        {
            "label": status.label,
            "count": counts[status.value],
            "url": query.encode(status=status.value),
            "on": query.status == status,
            "status": status.value,
        }
        for status in MinerStatus
    ]
    alert = "" if query.alert else "any"
    found.append(
        {
            "label": "With an alert",
            "count": counts["alert"],
            "url": query.encode(alert=alert),
            "on": bool(query.alert),
            "status": "",
        }
    )
    return found


def columns(query: FleetQuery) -> list[dict[str, Any]]:
    """Heads of the columns that sort; figures begin with the largest."""
    now_by, now_down = query.sort.removeprefix("-") or "serial", query.sort.startswith("-")
    found = []
    for name, title, number in COLUMNS:
        down = not now_down if name == now_by else number
        sort = f"-{name}" if down else "" if name == "serial" else name
        order = ("descending" if now_down else "ascending") if name == now_by else None
        found.append({"name": name, "title": title, "number": number, "url": query.encode(sort=sort), "order": order})
    return found


def choices(user: User, miners: "QuerySet[Miner]") -> dict[str, Any]:
    """What the filter offers: of what the person reaches."""
    racks = Rack.objects.for_user(user).select_related("building").order_by("building__name", "name")
    models = list(MinerModel.objects.order_by("manufacturer", "name"))
    owners = User.objects.filter(pk__in=miners.order_by().values("client")).order_by("name", "email")
    return {
        "sites": list(Site.objects.for_user(user).order_by("name").values_list("id", "name")),
        "racks": [(rack.pk, str(rack)) for rack in racks],
        "models": models,
        "makes": sorted({model.manufacturer for model in models if model.manufacturer}),
        "clients": list(owners.defer("password")),
    }


# --- acting on a choice ---------------------------------------------------------------------------------------------------


@staff_required
@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """Ask first, with the number of machines; then do it to those that are as many still."""
    user = actor(request)
    query = FleetQuery.parse(_asked_query(request))
    verb = VERBS.get(request.POST.get("verb", ""))
    if verb is None or not user.may(verb.permission):
        raise Http404
    if verb.order and (refusal := step_up(request)):
        return refusal
    chosen = _chosen(request, query, user)
    count = chosen.count()
    if not count:
        messages.warning(request, "No machine was chosen: tick some, or all that match.")
        return redirect(back_to(query))
    confirmed = "confirmed" in request.POST
    form = verb.form(request.POST if confirmed else None, reachable=Site.objects.for_user(user))
    changed = confirmed and request.POST.get("count") != str(count)
    if confirmed and not changed and form.is_valid():
        try:
            moved = verb.work(chosen, form.cleaned_data, user)
        except (services.AddressTaken, services.AddressOutside, WrongOrder, KeyReused) as clash:
            form.add_error(None, str(clash))
        else:
            if verb.order:
                return redirect("admin:hosting_commandbatch_change", moved)
            messages.add_message(request, messages.SUCCESS if moved else messages.WARNING, outcome(verb, count, moved))
            return redirect(back_to(query))
    return _ask(request, verb, {"form": form, "count": count, "changed": changed}, query, chosen)


def _asked_query(request: HttpRequest) -> dict[str, str]:
    return QueryDict(request.POST.get("query", "")[:1000]).dict()


def _chosen(request: HttpRequest, query: FleetQuery, user: User) -> "QuerySet[Miner]":
    miners = reachable(user)
    if request.POST.get("across"):
        return query.narrow(miners)
    ids = [int(value) for value in request.POST.getlist("miner")[: PAGE_SIZE * 2] if is_id(value)]
    return miners.filter(pk__in=ids)


def _ask(
    request: HttpRequest, verb: Verb, asked: dict[str, Any], query: FleetQuery, chosen: "QuerySet[Miner]"
) -> HttpResponse:
    across = bool(request.POST.get("across"))
    context = {
        "nav": "fleet",
        "verb": verb,
        "verb_name": request.POST["verb"],
        **asked,
        "serials": list(chosen.order_by("serial_number").values_list("serial_number", flat=True)[:SHOWN]),
        "more": max(asked["count"] - SHOWN, 0),
        "across": across,
        "ids": [] if across else list(chosen.values_list("pk", flat=True)),
        "query": query.encode(),
        "back": back_to(query),
    }
    return render(request, "hosting/fleet_act.html", context)


def back_to(query: FleetQuery) -> str:
    text = query.encode()
    return reverse("hosting:fleet") + (f"?{text}" if text else "")


# --- searches that are kept -----------------------------------------------------------------------------------------------


def saved_views(user: User) -> list[SavedView]:
    return list(
        SavedView.objects.for_user(user).select_related("owner").defer("owner__password").order_by("name", "pk")
    )


@staff_required
@require_POST
def keep_view(request: HttpRequest) -> HttpResponse:
    """Keep the search under a name; one's own view of that name is replaced."""
    query = FleetQuery.parse(_asked_query(request))
    name = request.POST.get("name", "").replace("\x00", "").strip()[:NAME_LENGTH]
    if not name:
        messages.warning(request, "Give the view a name.")
        return redirect(back_to(query))
    values = {"query": query.encode(), "is_shared": "is_shared" in request.POST}
    SavedView.objects.update_or_create(owner=actor(request), name=name, defaults=values)
    messages.success(request, f"The view {name} is kept.")
    return redirect(back_to(query))


@staff_required
@require_POST
def drop_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one's own view; others' are not there."""
    view = get_object_or_404(SavedView, pk=pk, owner=actor(request))
    view.delete()
    messages.success(request, f"The view {view.name} is gone.")
    return redirect("hosting:fleet")
