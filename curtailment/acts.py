"""What staff do to plans and sites from their pages: each a POST with a reason, through the same services as every door."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from accounts.access import actor, permission_required
from accounts.models import User
from accounts.stepup import step_up_required
from curtailment import lifecycle, overrides
from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.moments import NoSuchTime, site_moment
from curtailment.refusals import REFUSED
from hosting.models import Site

LONGEST_REASON = 500


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()[:LONGEST_REASON]


def _plan(request: HttpRequest, pk: int) -> CurtailmentPlan:
    return get_object_or_404(CurtailmentPlan.objects.for_user(actor(request)).select_related("site"), pk=pk)


def _site(request: HttpRequest, pk: int) -> Site:
    return get_object_or_404(Site.objects.for_user(actor(request)), pk=pk)


def _staff(request: HttpRequest) -> User:
    user = actor(request)
    if not user.is_staff:
        raise Http404
    return user


def _done(request: HttpRequest, work: Callable[[], Any], said: str, again: str = "") -> None:
    """Do it and say so; a refusal is told in its own words. `again` is for what had been asked for before."""
    try:
        new = work()
    except (*REFUSED, NoSuchTime) as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, again if again and new is False else said)


def _whole_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


@require_POST
@permission_required("curtailment:approve")
@step_up_required
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """What is approved is what the form showed: its version and hash come back with it."""
    plan = _plan(request, pk)
    _done(
        request,
        lambda: lifecycle.approve_plan(
            plan,
            version=_whole_number(request.POST.get("version", "")),
            content_hash=request.POST.get("content_hash", ""),
            reason=_reason(request),
            break_glass="break_glass" in request.POST,
            by=actor(request),
        ),
        "The plan is approved. It runs at its time.",
    )
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:stop")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    _staff(request)
    plan = _plan(request, pk)
    _done(
        request,
        lambda: lifecycle.cancel_plan(plan, reason=_reason(request), by=actor(request)),
        "The plan is cancelled; machines that it stopped come back.",
    )
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:override")
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    plan = _plan(request, pk)
    _done(
        request,
        lambda: overrides.restore_now(plan, reason=_reason(request), by=actor(request)),
        "The machines come back with the next pass, within seconds.",
        "That was asked for before: the machines are coming back.",
    )
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:approve")
@step_up_required
def extend(request: HttpRequest, pk: int) -> HttpResponse:
    """`until` without an offset is the site's own clock."""
    plan = _plan(request, pk)

    def work() -> object:
        until: datetime = site_moment(request.POST.get("until", ""), plan.site)
        return lifecycle.extend_plan(plan, until=until, reason=_reason(request), by=actor(request))

    _done(request, work, "The plan lasts longer now.")
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:stop")
def release(request: HttpRequest, pk: int, target: int) -> HttpResponse:
    _staff(request)
    plan = _plan(request, pk)
    row = get_object_or_404(PlanMiner.objects.select_related("plan", "miner"), plan=plan, pk=target)
    _done(
        request,
        lambda: overrides.release_miner(row, reason=_reason(request), by=actor(request)),
        f"{row.miner} comes back.",
        f"{row.miner} was released before: it is coming back.",
    )
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:override")
@step_up_required
def hand_over(request: HttpRequest, pk: int, target: int) -> HttpResponse:
    """Nothing brings the machine back by itself any more: hence the fresh proof."""
    plan = _plan(request, pk)
    row = get_object_or_404(PlanMiner.objects.select_related("plan", "miner"), plan=plan, pk=target)
    _done(
        request,
        lambda: overrides.hand_over(row, reason=_reason(request), by=actor(request)),
        f"{row.miner} is in maintenance now, and has a ticket.",
    )
    return redirect("curtailment:plan", pk)


@require_POST
@permission_required("curtailment:override")
@step_up_required
def freeze(request: HttpRequest, pk: int) -> HttpResponse:
    """No order of a plan leaves for the site, not even to wake: hence the fresh proof."""
    site = _site(request, pk)
    minutes = _whole_number(request.POST.get("minutes", ""))
    _done(
        request,
        lambda: overrides.freeze_site(site, reason=_reason(request), minutes=minutes, by=actor(request)),
        f"{site} is frozen: no order of a plan leaves for it.",
    )
    return redirect("curtailment:plans")


@require_POST
@permission_required("curtailment:override")
def unfreeze(request: HttpRequest, pk: int) -> HttpResponse:
    site = _site(request, pk)
    _done(
        request,
        lambda: overrides.unfreeze_site(site, by=actor(request)),
        f"{site} is not frozen any more.",
        f"{site} was not frozen.",
    )
    return redirect("curtailment:plans")


@require_POST
@permission_required("curtailment:override")
def restore_site(request: HttpRequest, pk: int) -> HttpResponse:
    site = _site(request, pk)
    _done(
        request,
        lambda: overrides.restore_site(site, reason=_reason(request), by=actor(request)),
        f"Every machine that plans stopped at {site} comes back; approved plans of it are cancelled.",
    )
    return redirect("curtailment:plans")
