"""The page that plans a curtailment: a form, what it would stop and cost, and the plan itself."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from accounts.access import actor, permission_required, staff_required
from accounts.models import User
from analytics.models import STALE_AFTER
from curtailment.drafting import MAX_REASON, Ask, Draft, WrongPlan, draft_plan, miner_ids
from curtailment.models import SitePolicy
from curtailment.moments import NoSuchTime, site_moment
from curtailment.order import lines_of
from curtailment.planning import KeyReused, NotAllowed, create_plan
from curtailment.states import Priority, Strategy
from hosting.models import Site

SHOWN = 50
LEAD, LENGTH = timedelta(minutes=15), timedelta(hours=2)
SEPARATORS = re.compile(r"[\s,;]+")
MAX_NAMES = 250_000


class PlanForm(forms.Form):
    """What a plan is asked for. Times are of the chosen site's clock."""

    site = forms.ModelChoiceField(Site.objects.none(), empty_label=None)
    mw = forms.DecimalField(
        label="Target, MW",
        required=False,
        max_digits=12,
        decimal_places=6,
        help_text="Empty: all machines named below.",
    )
    since = forms.CharField(label="From", max_length=40, help_text="By the site's clock.")
    until = forms.CharField(label="Until", max_length=40)
    strategy = forms.ChoiceField(label="Which machines first", choices=Strategy)
    priority = forms.ChoiceField(choices=Priority)
    miners = forms.CharField(
        label="Machines",
        required=False,
        max_length=MAX_NAMES,
        help_text="Serial numbers or ids. Empty: all of the site may be chosen.",
    )
    reason = forms.CharField(
        max_length=MAX_REASON, required=False, help_text="For whoever approves it, and for the clients."
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = Site.objects.for_user(user)  # type: ignore[attr-defined]  # of a model's choice

    def ask(self, *, reason: str) -> Ask:
        """Raises WrongPlan, NoSuchTime. `reason` stands in for one that is not given."""
        found = self.cleaned_data
        site: Site = found["site"]
        names = [name for name in SEPARATORS.split(found["miners"]) if name]
        return Ask(
            site=site,
            starts_at=site_moment(found["since"], site),
            ends_at=site_moment(found["until"], site),
            target_mw=found["mw"],
            strategy=Strategy(found["strategy"]),
            miners=miner_ids(names, site) if names else None,
            priority=Priority(found["priority"]),
            reason=found["reason"] or reason,
        )


def first_values(request: HttpRequest, user: User) -> dict[str, object]:
    """A plan for the site of the link, or the first, that begins soon and lasts two hours by the site's clock."""
    sites, wanted = Site.objects.for_user(user), request.GET.get("site", "")
    site = (sites.filter(pk=wanted).first() if wanted.isdecimal() and len(wanted) < 10 else None) or sites.first()
    clock = ZoneInfo(site.time_zone if site else "UTC")
    since = (timezone.now() + LEAD).astimezone(clock)
    since = since.replace(minute=since.minute // 15 * 15, second=0, microsecond=0) + timedelta(minutes=15)
    shown = [f"{at.replace(tzinfo=None):%Y-%m-%dT%H:%M}" for at in (since, since + LENGTH)]
    return {
        "site": site and site.pk,
        "since": shown[0],
        "until": shown[1],
        "strategy": Strategy.LEAST_EFFICIENT,
        "priority": Priority.NORMAL,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@staff_required
@permission_required("curtailment:plan")
def plan_new(request: HttpRequest) -> HttpResponse:
    """The form, with what it would stop beside it; posted, the plan is made and waits for approval."""
    user = actor(request)
    if request.method == "POST":
        return make(request, user)
    asked = "since" in request.GET
    form = PlanForm(user, request.GET) if asked else PlanForm(user, initial=first_values(request, user))
    context: dict[str, Any] = {"nav": "curtailment", "form": form, "key": uuid4(), "asked": asked}
    wrong = None
    if asked and form.is_valid():
        try:
            context |= shown(draft_plan(form.ask(reason="preview")), everything="all" in request.GET)
        except (WrongPlan, NoSuchTime) as error:
            wrong = str(error)
    context["wrong"] = wrong
    if request.headers.get(
        "HX-Request"
    ):  # what is wrong is told in the part itself, which htmx swaps in for a 200 only
        return render(request, "curtailment/_preview.html", context)
    return render(request, "curtailment/plan_new.html", context, status=400 if wrong or form.errors else 200)


def make(request: HttpRequest, user: User) -> HttpResponse:
    form = PlanForm(user, request.POST)
    context: dict[str, Any] = {"nav": "curtailment", "form": form, "key": uuid4(), "asked": True}
    if form.is_valid():
        try:
            draft = draft_plan(form.ask(reason=""))
            plan = create_plan(draft, idempotency_key=request.POST.get("key", "")[:64] or None, by=user)
        except (WrongPlan, NoSuchTime, KeyReused, NotAllowed) as error:
            context["wrong"] = str(error)
        else:
            messages.success(request, f"Plan {plan.pk} is made and waits for approval.")
            return redirect("curtailment:plan", plan.pk)
    return render(request, "curtailment/plan_new.html", context, status=400)


def shown(draft: Draft, *, everything: bool) -> dict[str, Any]:
    """What the preview shows of a draft."""
    lines = list(lines_of(draft))
    clock = ZoneInfo(draft.ask.site.time_zone)
    # As text: the template's date filter would show UTC.
    since, until = (f"{at.astimezone(clock):%Y-%m-%d %H:%M}" for at in (draft.ask.starts_at, draft.ask.ends_at))
    now = timezone.now()
    return {
        "draft": draft,
        "now": now,
        "preview": draft.preview,
        "lines": lines if everything else lines[:SHOWN],
        "more": 0 if everything else max(0, len(lines) - SHOWN),
        "clock": clock.key,
        "since": since,
        "until": until,
        "minutes": round((draft.ask.ends_at - draft.ask.starts_at).total_seconds() / 60),
        "stale": draft.field.hashprice_at is not None and now - draft.field.hashprice_at > STALE_AFTER,
        "hashprice_at": draft.field.hashprice_at,
        "policy": SitePolicy.of(draft.ask.site),
    }
