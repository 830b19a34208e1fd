"""Pages of places and repairs."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required, staff_required
from hosting import rackmap
from hosting.models import Building, MaintenanceTicket, Miner, Rack, Site
from hosting.power import circuit_loads
from hosting.states import TicketStatus

TICKETS_A_PAGE = 50


@require_safe
@staff_required
def racks(request: HttpRequest) -> HttpResponse:
    """The map of the first site; its page leads to the others."""
    first = Site.objects.for_user(actor(request)).order_by("name").first()
    return redirect("hosting:sites") if first is None else redirect("hosting:site_racks", first.pk)


@require_safe
@staff_required
def site_racks(request: HttpRequest, pk: int) -> HttpResponse:
    user = actor(request)
    sites = list(Site.objects.for_user(user).order_by("name"))
    site = next((site for site in sites if site.pk == pk), None)
    if site is None:
        raise Http404
    found = Rack.objects.filter(building__site=site)
    asked = request.GET.get("building", "")
    building = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else None
    if building is not None:
        found = found.filter(building=building)
    by = rackmap.chosen_view(request.GET.get("by"))
    miners = Miner.objects.for_user(user).filter(site=site)
    context = {
        "nav": "racks",
        "site": site,
        "sites": sites,
        "buildings": list(Building.objects.filter(site=site).order_by("name")),
        "building": building,
        "by": by,
        "views": rackmap.VIEWS,
        "legend": rackmap.legend(by),
        "racks": rackmap.rack_map(found, miners, by=by, now=timezone.now()),
        "unplaced": rackmap.unplaced(miners),
        "circuits": circuit_loads([site.pk]),
    }
    return render(request, "hosting/racks.html", context)


@require_safe
@permission_required("maintenanceticket:view")
def ticket_list(request: HttpRequest) -> HttpResponse:
    """A customer's own; staff those of their sites."""
    tickets = MaintenanceTicket.objects.for_user(actor(request)).only(*LISTED)
    shown = request.GET.get("show", "")
    if shown == "closed":
        tickets = tickets.filter(status=TicketStatus.CLOSED)
    elif shown != "all":
        tickets = tickets.exclude(status=TicketStatus.CLOSED)
    page = Paginator(tickets, TICKETS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "hosting/tickets.html", {"nav": "tickets", "page_obj": page, "show": shown})


LISTED = ("title", "status", "fault", "rma_number", "starts_at", "ends_at", "opened_at", "serial_number", "miner_id")
READ = (*LISTED, "rma_vendor", "closed_at")


@require_safe
@permission_required("maintenanceticket:view")
def ticket_detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = actor(request)
    tickets = MaintenanceTicket.objects.for_user(user).only(*READ)
    ticket = get_object_or_404(tickets, pk=pk)
    comments = ticket.comments.defer("author") if not user.is_staff else ticket.comments.select_related("author")
    context = {
        "nav": "tickets",
        "ticket": ticket,
        "machine_is_there": Miner.objects.for_user(user).filter(pk=ticket.miner_id).exists(),
        "comments": comments if user.is_staff else comments.filter(internal=False),
        "parts": ticket.parts.all(),
    }
    return render(request, "hosting/ticket.html", context)
