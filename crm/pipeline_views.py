"""Pages of leads and deals, for staff: the board, one deal, the leads, one lead."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import actor, permission_required
from accounts.models import User, UserStatus
from accounts.roles import STAFF_ROLES
from crm.deals import Capacity, DealRefused, capacity_of, is_stuck, move_deal, pipeline
from crm.forms import ActivityForm, ConvertForm
from crm.leads import (
    AlreadyConverted,
    CannotConvert,
    IllegalLeadMove,
    assign_lead,
    convert_lead,
    duplicates_of,
    explain,
    move_lead,
)
from crm.models import Activity, Deal, Lead
from crm.states import LEAD_MOVES, OPEN_STAGES, DealStage, LeadStatus
from crm.timeline import add_activity, finish_task

PAGE_SIZE = 50
CARDS = 100  # of one stage; who has more looks at the list in Admin
CLOSED_SHOWN = 20

# --- deals ------------------------------------------------------------------------------------------------------------


@require_safe
@permission_required("deal:view")
def board(request: HttpRequest) -> HttpResponse:
    """Columns by stage, with cards to drag; without scripts each card has its own form."""
    deals = Deal.objects.for_user(actor(request)).select_related("client", "owner", "site")
    mine = request.GET.get("mine") == "1"
    if mine:
        deals = deals.filter(owner=actor(request))
    now, columns = timezone.now(), list[dict[str, Any]]()
    for line in pipeline(deals):
        limit = CARDS if line.stage in OPEN_STAGES else CLOSED_SHOWN
        cards = list(deals.filter(stage=line.stage).order_by("-stage_since", "-pk")[:limit]) if line.deals else []
        columns.append(
            {"line": line, "cards": [(deal, is_stuck(deal, now)) for deal in cards], "more": line.deals - len(cards)}
        )
    open_sum = sum((column["line"].weighted for column in columns if column["line"].stage in OPEN_STAGES), 0)
    context = {"nav": "deals", "columns": columns, "stages": DealStage.choices, "mine": mine, "open_weighted": open_sum}
    return render(request, "crm/board.html", context)


@require_safe
@permission_required("deal:view")
def deal_page(request: HttpRequest, pk: int) -> HttpResponse:
    deal = get_object_or_404(
        Deal.objects.for_user(actor(request)).select_related("client", "owner", "site", "miner_model", "lead"), pk=pk
    )
    room: Capacity | None = capacity_of(deal.site, but=deal) if deal.site else None
    context = {
        "nav": "deals",
        "deal": deal,
        "room": room,
        "fits": room.fits(deal.power_kw) if room else None,
        "stuck": is_stuck(deal, timezone.now()),
        "stages": DealStage.choices,
        "history": deal.stage_changes.select_related("by"),
        "activities": _timeline(request, deal=deal),
        "activity_form": ActivityForm(),
    }
    return render(request, "crm/deal.html", context)


@require_POST
@permission_required("deal:change")
def deal_move(request: HttpRequest, pk: int) -> HttpResponse:
    """From the board (JSON) or a form; what cannot be is told with the next step, and nothing has moved."""
    deal = get_object_or_404(Deal.objects.for_user(actor(request)), pk=pk)
    asked = request.POST.get("to", "")
    refusal = ""
    if asked not in DealStage.values:
        refusal = "Choose one of the stages."
    else:
        try:
            move_deal(
                deal,
                DealStage(asked),
                seen=request.POST.get("seen") or None,
                reason=request.POST.get("reason", ""),
                despite_capacity=request.POST.get("despite_capacity") == "on",
                by=actor(request),
            )
        except DealRefused as refused:
            refusal = str(refused)
    page = reverse("crm:deal", args=[pk])
    if request.headers.get("Accept", "").startswith("application/json"):
        if refusal:
            return JsonResponse({"error": {"code": "refused", "message": refusal}, "page": page}, status=409)
        return JsonResponse({"stage": deal.stage, "label": deal.get_stage_display(), "probability": deal.probability})
    if refusal:
        messages.error(request, refusal)
        return redirect(page)
    messages.success(request, f"{deal} is in {deal.get_stage_display()}.")
    return redirect("crm:deals" if request.POST.get("back") == "board" else page)


@require_POST
@permission_required("activity:add")
def deal_activity(request: HttpRequest, pk: int) -> HttpResponse:
    deal = get_object_or_404(Deal.objects.for_user(actor(request)), pk=pk)
    return _add_activity(request, reverse("crm:deal", args=[pk]), deal=deal)


# --- leads ------------------------------------------------------------------------------------------------------------


@require_safe
@permission_required("lead:view")
def leads(request: HttpRequest) -> HttpResponse:
    """Open ones, those to be followed up first."""
    show = request.GET.get("show", "")
    rows = Lead.objects.for_user(actor(request)).select_related("owner")
    if show == "overdue":
        rows = rows.to_follow_up()
    if show != "all":
        rows = rows.exclude(status__in=(LeadStatus.CONVERTED, LeadStatus.LOST))
    if query := request.GET.get("q", "").strip()[:100]:
        rows = rows.search(query)
    page = Paginator(rows.order_by("follow_up_at", "-score", "-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"nav": "leads", "page_obj": page, "show": show, "q": query, "now": timezone.now()}
    return render(request, "crm/leads.html", context)


@require_safe
@permission_required("lead:view")
def lead_page(request: HttpRequest, pk: int) -> HttpResponse:
    lead = get_object_or_404(Lead.objects.for_user(actor(request)).select_related("owner"), pk=pk)
    moves = [to for to, sources in LEAD_MOVES.items() if lead.status in sources and to != LeadStatus.CONVERTED]
    context = {
        "nav": "leads",
        "lead": lead,
        "deal": Deal.objects.for_user(actor(request)).filter(lead=lead).first(),
        "points": explain(lead),
        "duplicates": duplicates_of(lead)[:10],
        "moves": moves,
        "convertible": lead.status in LEAD_MOVES[LeadStatus.CONVERTED],
        "overdue": lead.follow_up_at is not None and lead.follow_up_at < timezone.now(),
        "people": User.objects.filter(role__in=STAFF_ROLES, status=UserStatus.ACTIVE).order_by("name", "email"),
        "convert_form": ConvertForm(initial={"client_email": lead.email, "title": lead.company or lead.name}),
        "activities": _timeline(request, lead=lead),
        "activity_form": ActivityForm(),
    }
    return render(request, "crm/lead.html", context)


@require_POST
@permission_required("lead:change")
def lead_move(request: HttpRequest, pk: int) -> HttpResponse:
    lead = get_object_or_404(Lead.objects.for_user(actor(request)), pk=pk)
    asked = request.POST.get("to", "")
    if asked not in LeadStatus.values:
        messages.error(request, "Choose one of the states.")
        return redirect("crm:lead", pk=pk)
    try:
        move_lead(lead, LeadStatus(asked), reason=request.POST.get("reason", ""), by=actor(request))
    except IllegalLeadMove as refused:
        messages.error(request, str(refused))
    return redirect("crm:lead", pk=pk)


@require_POST
@permission_required("lead:change")
def lead_assign(request: HttpRequest, pk: int) -> HttpResponse:
    """To the person that is named, or without one to whoever has fewest."""
    lead = get_object_or_404(Lead.objects.for_user(actor(request)), pk=pk)
    named = request.POST.get("owner", "")
    try:
        to = get_object_or_404(User.objects.filter(role__in=STAFF_ROLES), email=named) if named else None
        assign_lead(lead, to=to, by=actor(request))
    except IllegalLeadMove as refused:
        messages.error(request, str(refused))
    return redirect("crm:lead", pk=pk)


@require_POST
@permission_required("lead:change")
def lead_convert(request: HttpRequest, pk: int) -> HttpResponse:
    lead = get_object_or_404(Lead.objects.for_user(actor(request)), pk=pk)
    form = ConvertForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return redirect("crm:lead", pk=pk)
    try:
        deal = convert_lead(lead, **form.cleaned_data, by=actor(request))
    except AlreadyConverted as known:
        messages.info(request, str(known))
        return redirect("crm:deal", pk=known.deal.pk)
    except (CannotConvert, IllegalLeadMove) as refused:
        messages.error(request, str(refused))
        return redirect("crm:lead", pk=pk)
    messages.success(request, f"{deal} is a deal now, and {deal.client} a client.")
    return redirect("crm:deal", pk=deal.pk)


@require_POST
@permission_required("activity:add")
def lead_activity(request: HttpRequest, pk: int) -> HttpResponse:
    lead = get_object_or_404(Lead.objects.for_user(actor(request)), pk=pk)
    return _add_activity(request, reverse("crm:lead", args=[pk]), lead=lead)


# --- what was done about them -----------------------------------------------------------------------------------------


@require_POST
@permission_required("activity:change")
def task_done(request: HttpRequest, pk: int) -> HttpResponse:
    task = get_object_or_404(Activity.objects.for_user(actor(request)), pk=pk)
    finish_task(task)
    return redirect(
        reverse("crm:deal", args=[task.deal_id]) if task.deal_id else reverse("crm:lead", args=[task.lead_id])
    )


def _add_activity(
    request: HttpRequest, back: str, *, deal: Deal | None = None, lead: Lead | None = None
) -> HttpResponse:
    form = ActivityForm(request.POST)
    if form.is_valid():
        add_activity(deal=deal, lead=lead, by=actor(request), **form.cleaned_data)
    else:
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
    return redirect(back)


def _timeline(request: HttpRequest, **about: Any) -> Any:
    return Activity.objects.for_user(actor(request)).filter(**about).select_related("author", "assigned_to")[:200]
