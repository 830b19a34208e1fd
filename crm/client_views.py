"""Pages about clients, for staff."""

from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from crm import client360
from crm.invoicing import today

PAGE_SIZE = 50


@require_safe
@permission_required("deal:view")
def clients(request: HttpRequest) -> HttpResponse:
    rows = client360.clients(actor(request))
    if query := request.GET.get("q", "").strip()[:100]:
        rows = rows.filter(Q(name__icontains=query) | Q(email__icontains=query))
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "crm/clients.html", {"nav": "clients", "page_obj": page, "q": query})


@require_safe
@permission_required("deal:view")
def client(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The 360° view."""
    user, now = actor(request), timezone.now()
    person = get_object_or_404(client360.clients(user), pk=pk)
    found = client360.look_at(person, by=user, now=now, today=today())
    return render(request, "crm/client.html", {"nav": "clients", "client": found, "days": client360.DAYS})
