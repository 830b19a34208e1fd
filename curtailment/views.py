"""Pages of curtailment: for staff plans and what they do now, for a customer notices and statements of their own machines."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required, staff_required
from accounts.models import User
from curtailment import live, settlement_pdf
from curtailment.models import CurtailmentPlan, PlanEvent, PlanMiner, Settlement, SitePolicy
from curtailment.settlement_pdf import Statement
from curtailment.statement import statement_for, write_csv
from curtailment.states import UNRECOVERED, PlanStatus, RecoveryState, TargetState
from curtailment.visible import CLIENT_MINER, CLIENT_PLAN
from hosting.models import Miner, Site

PLANS_A_PAGE, MACHINES_A_PAGE = 25, 50
TRAIL_LINES = 30
WAITING = Q(status=PlanStatus.PENDING)
RUNNING = Q(status=PlanStatus.APPROVED) | Q(recovery_state__in=UNRECOVERED)


@require_safe
@permission_required("curtailment:view")
def plans(request: HttpRequest) -> HttpResponse:
    """Staff: live plans, those that wait, and past ones. A customer: notices of what stops their machines."""
    user = actor(request)
    if not user.is_staff:
        return notices(request, user)
    found = CurtailmentPlan.objects.for_user(user).select_related("site", "created_by")
    current = list(found.filter(WAITING | RUNNING).order_by("scheduled_time", "pk"))
    now = timezone.now()
    past = found.exclude(WAITING | RUNNING).select_related("settlement")
    context = {
        "nav": "curtailment",
        "now": now,
        "running": [
            (plan, live.bar(plan), live.figures(plan)) for plan in current if plan.recovery_state in UNRECOVERED
        ],
        "coming": [plan for plan in current if plan.recovery_state not in UNRECOVERED],
        "page_obj": Paginator(past, PLANS_A_PAGE).get_page(request.GET.get("page")),
        "sites": site_lines(user),
        "may_override": user.may("curtailment:override"),
        "may_plan": user.may("curtailment:plan"),
    }
    return render(request, "curtailment/_running.html" if partial(request) else "curtailment/plans.html", context)


def site_lines(user: User) -> list[dict[str, Any]]:
    """Each site with its policy, whether it is frozen, and how many plans hold machines there."""
    now = timezone.now()
    policies = {policy.site_id: policy for policy in SitePolicy.objects.select_related("frozen_by")}
    sites = Site.objects.for_user(user).order_by("name")
    held = dict(
        CurtailmentPlan.objects.filter(recovery_state__in=UNRECOVERED)
        .order_by()
        .values_list("site")
        .annotate(Count("pk"))
    )
    lines = []
    for site in sites:
        policy = policies.get(site.pk) or SitePolicy(site=site)
        frozen = policy.frozen_until is not None and policy.frozen_until > now
        lines.append({"site": site, "policy": policy, "frozen": frozen, "live": held.get(site.pk, 0)})
    return lines


def partial(request: HttpRequest) -> bool:
    return request.GET.get("partial") == "live"


@require_safe
@permission_required("curtailment:view")
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    """Staff: the live page. A customer: the notice."""
    user = actor(request)
    if not user.is_staff:
        return notice(request, user, pk)
    found = get_object_or_404(
        CurtailmentPlan.objects.for_user(user).select_related("site", "created_by").defer("created_by__password"), pk=pk
    )
    policy = SitePolicy.of(found.site)
    context = {
        "nav": "curtailment",
        "plan": found,
        "now": timezone.now(),
        "policy": policy,
        "frozen": policy.frozen_until is not None and policy.frozen_until > timezone.now(),
        "figures": live.figures(found),
        "bar": live.bar(found),
        "acts": live.acts(found, user, policy),
        "is_over": found.recovery_state == RecoveryState.RECOVERED or found.status == PlanStatus.CANCELLED,
        **machine_table(request, found),
    }
    if partial(request):
        return render(request, "curtailment/_live.html", context)
    context |= {
        "approvals": found.approvals.select_related("approver").defer("approver__password"),
        "trail": PlanEvent.objects.filter(plan=found).select_related("actor").defer("actor__password")[:TRAIL_LINES],
        "left_out": found.preview.get("left_out", {}).items(),
        "left_out_machines": found.preview.get("left_out_machines", []),
        "settled": Settlement.objects.filter(plan=found).exists(),
    }
    return render(request, "curtailment/plan.html", context)


def machine_table(request: HttpRequest, found: CurtailmentPlan) -> dict[str, Any]:
    """One page of the plan's machines, and the filter by state."""
    state = request.GET.get("state", "")
    targets = PlanMiner.objects.filter(plan=found).select_related("miner", "client").defer("client__password")
    counts = dict(PlanMiner.objects.filter(plan=found).order_by().values_list("state").annotate(Count("pk")))
    if state in TargetState.values:
        targets = targets.filter(state=state)
    page = Paginator(targets.order_by("shutdown_order"), MACHINES_A_PAGE).get_page(request.GET.get("page"))
    return {
        "page_obj": page,
        "state": state if state in TargetState.values else "",
        "states": [(value, label, counts[value]) for value, label in TargetState.choices if value in counts],
        "machine_count": sum(counts.values()),
    }


@require_safe
@staff_required
def chart(request: HttpRequest, pk: int) -> HttpResponse:
    return JsonResponse(live.chart(get_object_or_404(CurtailmentPlan.objects.for_user(actor(request)), pk=pk)))


# --- a customer's own -------------------------------------------------------------------------------------------------


def notices(request: HttpRequest, user: User) -> HttpResponse:
    found = CurtailmentPlan.objects.for_user(user).order_by("-scheduled_time", "-id").values(*CLIENT_PLAN)
    page = Paginator(found, PLANS_A_PAGE).get_page(request.GET.get("page"))
    ids = [one["id"] for one in page.object_list]
    counts = dict(own_targets(user, ids).order_by().values_list("plan").annotate(Count("pk")))
    settled = set(Settlement.objects.for_user(user).filter(plan__in=ids).values_list("plan_id", flat=True))
    names = dict(Site.objects.values_list("pk", "name"))
    page.object_list = [
        told(one)
        | {"machines": counts.get(one["id"], 0), "settled": one["id"] in settled, "site": names.get(one["site_id"])}
        for one in page.object_list
    ]
    return render(request, "curtailment/notices.html", {"nav": "curtailment", "page_obj": page})


def notice(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    found = CurtailmentPlan.objects.for_user(user).filter(pk=pk).values(*CLIENT_PLAN).first()
    if found is None:
        raise Http404
    rows = list(own_targets(user, [pk]).order_by("pk").values(*CLIENT_MINER))
    serials = dict(Miner.objects.for_user(user).values_list("pk", "serial_number"))
    labels = dict(TargetState.choices)
    page = Paginator(rows, MACHINES_A_PAGE).get_page(request.GET.get("page"))
    page.object_list = [
        row | {"serial": serials.get(row["miner_id"]), "label": labels[row["state"]]} for row in page.object_list
    ]
    context = {
        "nav": "curtailment",
        "plan": told(found),
        "page_obj": page,
        "site": Site.objects.filter(pk=found["site_id"]).values_list("name", flat=True).first(),
        "settled": Settlement.objects.for_user(user).filter(plan=pk).values_list("pk").exists(),
    }
    return render(request, "curtailment/notice.html", context)


def own_targets(user: User, plan_ids: list[int]) -> "QuerySet[PlanMiner]":
    """The customer's machines that are to stop or stopped; reserves that were not called on are no news to them."""
    return PlanMiner.objects.for_user(user).filter(plan__in=plan_ids).exclude(role="reserve", dispatched_at=None)


def told(found: dict[str, Any]) -> dict[str, Any]:
    """A plan's row with what it means for the customer, in a word and its colour."""
    state, status = found["recovery_state"], found["status"]
    if state == RecoveryState.RECOVERED:
        return found | {"word": "over", "tone": "active"}
    if state in {RecoveryState.RECOVERING, RecoveryState.INCOMPLETE}:
        return found | {"word": "coming back", "tone": "maintenance"}
    if state == RecoveryState.SCHEDULED:
        return found | {"word": "stopped", "tone": "curtailed"}
    if status == PlanStatus.CANCELLED:
        return found | {"word": "called off", "tone": "active"}
    return found | {"word": "announced", "tone": "pending"}


# --- settlements ------------------------------------------------------------------------------------------------------


@require_safe
@permission_required("curtailment:view")
def settlement(request: HttpRequest, pk: int) -> HttpResponse:
    """The settlement as page, as CSV (`as=csv`) or PDF (`as=pdf`)."""
    found = statement_for(actor(request), pk)
    if found is None:
        raise Http404
    form = request.GET.get("as")
    if form == "csv":
        return _csv(found)
    if form == "pdf":
        return _pdf(found)
    page = Paginator(found.machines, MACHINES_A_PAGE).get_page(request.GET.get("page"))
    context = {"nav": "curtailment", "statement": found, "page_obj": page}
    return render(request, "curtailment/settlement.html", context)


def _csv(statement: Statement) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"curtailment-{statement.plan_id}.csv"
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    write_csv(statement, response)
    return response


def _pdf(statement: Statement) -> HttpResponse:
    response = HttpResponse(settlement_pdf.render(statement), content_type="application/pdf")
    name = f"curtailment-{statement.plan_id}.pdf"
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    return response
