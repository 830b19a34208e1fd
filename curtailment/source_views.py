"""Pages of signal sources for administrators: make one, show its token or secret once, decide instead of it."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import actor, permission_required, staff_required
from accounts.stepup import step_up_required
from curtailment import sources
from curtailment.models import Signal, SignalSource
from curtailment.rule_forms import OverrideForm, SourceForm
from curtailment.triggers.signals import FailSafe
from minefarm.lib.clock import database_now

SIGNALS_SHOWN = 25
NAV = "curtailment"


def reachable(request: HttpRequest, pk: UUID) -> SignalSource:
    seen = SignalSource.objects.for_user(actor(request)).select_related("site")
    source: SignalSource = get_object_or_404(seen, pk=pk)
    return source


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
@permission_required("curtailment:override")
def add_source(request: HttpRequest) -> HttpResponse:
    form = SourceForm(request.POST if request.method == "POST" else None, by=actor(request))
    if request.method == "POST" and form.is_valid():
        try:
            source = sources.make_source(**form.cleaned_data, by=actor(request))
        except ValidationError as refused:
            form.add_error(None, refused.messages)
        else:
            messages.success(request, "Made. Give it a token or a secret, by which it can speak.")
            return redirect("rules:source", source.pk)
    return render(request, "curtailment/source_form.html", {"nav": NAV, "form": form})


@require_safe
@staff_required
@permission_required("curtailment:view")
def source_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    source, now = reachable(request, pk), database_now()
    context = {
        "nav": NAV,
        "source": source,
        "overridden": bool(source.override_until and now < source.override_until),
        "signals": Signal.objects.filter(source=source).order_by("-id")[:SIGNALS_SHOWN],
        "form": OverrideForm(),
        "may_change": actor(request).may("curtailment:override"),
    }
    return render(request, "curtailment/source.html", context)


@require_POST
@staff_required
@permission_required("curtailment:override")
@step_up_required
def make_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    source = reachable(request, pk)
    return shown(request, source, sources.new_token(source, by=actor(request)), "token")


@require_POST
@staff_required
@permission_required("curtailment:override")
@step_up_required
def make_secret(request: HttpRequest, pk: UUID) -> HttpResponse:
    source = reachable(request, pk)
    return shown(request, source, sources.new_secret(source, by=actor(request)), "secret")


def shown(request: HttpRequest, source: SignalSource, secret: str, what: str) -> HttpResponse:
    """The one time that it is shown: as the answer, kept neither here nor in a cache."""
    answer = render(
        request, "curtailment/source_secret.html", {"nav": NAV, "source": source, "secret": secret, "what": what}
    )
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@staff_required
@permission_required("curtailment:override")
def override_source(request: HttpRequest, pk: UUID) -> HttpResponse:
    source, now = reachable(request, pk), database_now()
    form = OverrideForm(request.POST)
    if form.is_valid():
        told = form.cleaned_data["what"]
        until = now + timedelta(minutes=form.cleaned_data["minutes"] or 60)
        what = FailSafe(told) if told else None
        sources.override(source, what, until=until if what else None, now=now, by=actor(request))
        messages.success(request, "Its rules see that with the next minute.")
    else:
        messages.error(request, "Give minutes from 5 to 1440.")
    return redirect("rules:source", pk)


@require_POST
@staff_required
@permission_required("curtailment:override")
@step_up_required
def disable_source(request: HttpRequest, pk: UUID) -> HttpResponse:
    source = reachable(request, pk)
    if sources.disable(source, by=actor(request)):
        messages.success(request, f"{source.name} is heard no more.")
    return redirect("rules:source", pk)
