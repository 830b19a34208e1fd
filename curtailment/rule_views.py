"""Pages of rules for staff: what each sees, a dry run or back-test, arming with a fresh proof."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import actor, permission_required, staff_required
from accounts.stepup import step_up_required
from curtailment import arming
from curtailment.backtest import TESTED, BackTest, CannotTest, backtest, chart
from curtailment.models import CurtailmentPlan, CurtailmentRule, RuleKind, SignalSource, SitePolicy
from curtailment.refusals import NotAllowed, StaleVersion
from curtailment.rule_forms import RuleForm, TryForm
from curtailment.rules import KINDS_FIRST, look
from curtailment.triggers.wishes import BadSettings
from hosting.models import Site
from minefarm.lib.clock import database_now

PLANS_SHOWN = 10
NAV = "curtailment"


def reachable(request: HttpRequest, pk: int) -> CurtailmentRule:
    rules = CurtailmentRule.objects.for_user(actor(request)).select_related("site", "source", "armed_by", "edited_by")
    rule: CurtailmentRule = get_object_or_404(rules, pk=pk)
    return rule


@require_safe
@staff_required
@permission_required("curtailment:view")
def rule_list(request: HttpRequest) -> HttpResponse:
    user = actor(request)
    rules = list(CurtailmentRule.objects.for_user(user).select_related("site", "source", "armed_by"))
    rules.sort(key=lambda rule: (not rule.armed, KINDS_FIRST.index(RuleKind(rule.kind)), rule.name))
    context = {
        "nav": NAV,
        "rules": rules,
        "sources": SignalSource.objects.for_user(user).filter(disabled_at=None).select_related("site"),
        "may_plan": user.may("curtailment:plan"),
        "may_sources": user.may("curtailment:override"),
    }
    return render(request, "curtailment/rules.html", context)


@require_safe
@staff_required
@permission_required("curtailment:view")
def rule_detail(request: HttpRequest, pk: int) -> HttpResponse:
    return page(request, reachable(request, pk))


def page(
    request: HttpRequest, rule: CurtailmentRule, *, form: TryForm | None = None, found: BackTest | None = None
) -> HttpResponse:
    """The rule as it is; `found` is a back-test that was just run."""
    user, now = actor(request), database_now()
    zone = ZoneInfo(rule.site.time_zone)
    policy = SitePolicy.of(rule.site)
    context: dict[str, Any] = {
        "nav": NAV,
        "rule": rule,
        "facts": _facts(rule),
        "sees": look(rule, now),
        "tested": RuleKind(rule.kind) in TESTED,
        "form": form or TryForm.month_before(now.astimezone(zone).date()),
        "found": found,
        "was_shown": rule.tried_hash == rule.content_hash,
        "may_plan": user.may("curtailment:plan"),
        "may_arm": user.may("curtailment:approve"),
        "may_stop": user.may("curtailment:stop"),
        "own": policy.four_eyes and rule.edited_by_id == user.pk,
        "alone": not policy.four_eyes,
        "plans": CurtailmentPlan.objects.for_user(user).filter(rule=rule)[:PLANS_SHOWN],
    }
    if found is not None:
        context["chart"] = chart(found, rule.read_settings())
    return render(request, "curtailment/rule.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
@permission_required("curtailment:plan")
def add_rule(request: HttpRequest) -> HttpResponse:
    sites = Site.objects.for_user(actor(request)).order_by("name")
    asked = request.GET.get("kind", ""), request.GET.get("site", "")
    if asked[0] not in RuleKind.values or not (asked[1].isascii() and asked[1].isdecimal() and len(asked[1]) < 10):
        return render(request, "curtailment/rule_kind.html", {"nav": NAV, "sites": sites, "kinds": RuleKind.choices})
    site = get_object_or_404(sites, pk=int(asked[1]))
    rule = CurtailmentRule(site=site, kind=asked[0], priority="high" if asked[0] == RuleKind.SIGNAL else "normal")
    form = RuleForm(request.POST if request.method == "POST" else None, instance=rule)
    if request.method == "POST" and form.is_valid():
        try:
            arming.make_rule(form.instance, by=actor(request))
        except ValidationError as refused:
            form.refuse(refused)
        except NotAllowed:
            raise Http404 from None
        else:
            messages.success(request, "Made, and not armed. Look at what it would have done.")
            return redirect("rules:rule", form.instance.pk)
    return _form(request, form, title=f"New rule: {RuleKind(asked[0]).label}", back=reverse("rules:rules"))


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
@permission_required("curtailment:plan")
def edit_rule(request: HttpRequest, pk: int) -> HttpResponse:
    rule = reachable(request, pk)
    version = request.POST.get("version", "")
    form = RuleForm(request.POST if request.method == "POST" else None, instance=rule)
    if request.method == "POST" and form.is_valid():
        seen = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
        try:
            arming.edit_rule(form.instance, version=seen, by=actor(request))
        except ValidationError as refused:
            form.refuse(refused)
        except StaleVersion as stale:
            form.add_error(None, str(stale))
        else:
            messages.success(request, "Saved.")
            return redirect("rules:rule", pk)
    return _form(
        request, form, title=f"Change {rule.name}", back=reverse("rules:rule", args=[pk]), version=rule.version
    )


@require_POST
@staff_required
@permission_required("curtailment:view")
def try_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """Run the back-test, or a dry run of a kind that follows no price; arming asks for either."""
    rule, now = reachable(request, pk), database_now()
    if RuleKind(rule.kind) not in TESTED:
        arming.was_tried(rule, content_hash=rule.content_hash, now=now)
        messages.info(request, f"It would do this now: {look(rule, now).why}.")
        return redirect("rules:rule", pk)
    form = TryForm(request.POST)
    found = None
    if form.is_valid():
        zone, asked = ZoneInfo(rule.site.time_zone), form.cleaned_data
        start = datetime.combine(asked["since"], time(), zone)
        end = datetime.combine(asked["until"] + timedelta(days=1), time(), zone)
        try:
            found = backtest(rule, start, end, mw=asked["mw"], efficiency_j_th=asked["efficiency"], now=now)
        except CannotTest as refused:
            form.add_error(None, str(refused))
        else:
            arming.was_tried(rule, content_hash=found.content_hash, now=now)
            rule.refresh_from_db()
    return page(request, rule, form=form, found=found)


@require_POST
@staff_required
@permission_required("curtailment:approve")
@step_up_required
def arm_rule(request: HttpRequest, pk: int) -> HttpResponse:
    rule = reachable(request, pk)
    try:
        arming.arm(rule, content_hash=request.POST.get("content_hash", ""), by=actor(request))
    except (arming.CannotArm, NotAllowed) as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{rule.name} is armed: it acts by itself from now on.")
    return redirect("rules:rule", pk)


@require_POST
@staff_required
@permission_required("curtailment:stop")
def disarm_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """No fresh proof: disarming brings machines back, and must be quick."""
    rule = reachable(request, pk)
    if arming.disarm(rule, by=actor(request)):
        messages.success(request, f"{rule.name} is disarmed, and what it held comes back.")
    return redirect("rules:rule", pk)


def _form(request: HttpRequest, form: RuleForm, **context: Any) -> HttpResponse:
    return render(
        request,
        "curtailment/rule_form.html",
        {"nav": NAV, "form": form, **context},
        status=200 if request.method != "POST" or form.is_valid() else 422,
    )


def _facts(rule: CurtailmentRule) -> list[tuple[str, str]]:
    """The rule's settings in words: given ones, and what else holds by default."""
    if rule.target_mw is not None:
        target = f"{rule.target_mw.normalize():f} MW"
    elif rule.share_percent is not None:
        target = f"{rule.share_percent.normalize():f} % of the site"
    else:
        target = "what exceeds the cap" if rule.kind == RuleKind.POWER_CAP else "every machine that may be stopped"
    found = [("Stops", target), ("First", rule.get_strategy_display())]
    try:
        rule.read_settings()
    except BadSettings as bad:
        found.append(("Settings", f"{bad.field}: {bad}"))
    for name, value in rule.settings.items():
        told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        found.append((name.replace("_", " ").capitalize(), told))
    return found
