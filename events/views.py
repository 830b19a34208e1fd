"""A person's own webhooks: register, test, pause, rotate, delete, and what was delivered."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from events.forms import ChangeForm, WebhookForm
from events.guard import fresh_proof
from events.models import EndpointKind, EventDelivery, EventEndpoint, OutboxStatus
from events.models.endpoints import EndpointQuerySet, Person
from events.registration import change_endpoint, offers
from events.sinks import endpoints

DELIVERIES_SHOWN = 25
TRIES = 20  # one a second: a dispatcher that is alive answers sooner

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def person(request: HttpRequest) -> Person:
    return cast("Person", request.user)


def for_owners(view: View[P]) -> View[P]:
    """For whoever may have endpoints; for others the page is not there (404)."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not person(request).has_perm("events.own_eventendpoint"):
            raise Http404
        return view(request, *args, **kwargs)

    return cast("View[P]", login_required(guarded))


def own(request: HttpRequest) -> EndpointQuerySet:
    """The portal shows one's own, to staff as well: everybody's are in the admin."""
    return EventEndpoint.objects.owned_by(person(request).pk)


def own_delivery(request: HttpRequest, pk: int) -> EventDelivery:
    return get_object_or_404(EventDelivery.objects.filter(endpoint__in=own(request)).select_related("event"), pk=pk)


@for_owners
@require_safe
def endpoint_list(request: HttpRequest) -> HttpResponse:
    return render(request, "events/endpoint_list.html", {"nav": "webhooks", "endpoints": own(request).order_by("pk")})


@for_owners
@require_http_methods(["GET", "HEAD", "POST"])
def add_endpoint(request: HttpRequest) -> HttpResponse:
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            endpoint, secret = endpoints.create_endpoint(
                person(request).pk, EndpointKind.WEBHOOK, **form.cleaned_data, by=person(request).pk
            )
        except ValidationError as error:
            form.refuse(error)
        else:
            return show_secret(request, endpoint, secret, fresh=True)
    return _form(request, form, title="Add a webhook", verb="Add the webhook", back=reverse("events:endpoints"))


@for_owners
@require_http_methods(["GET", "HEAD", "POST"])
def edit_endpoint(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    known = {"event_types": endpoint.event_types, "description": endpoint.description}
    form = ChangeForm(request.POST if request.method == "POST" else None, initial=known)
    if form.is_valid():
        try:
            change_endpoint(endpoint, **form.cleaned_data)
        except ValidationError as error:
            form.refuse(error)
        else:
            messages.success(request, "Changed. It holds from the next event on.")
            return redirect("events:endpoint", pk)
    back = reverse("events:endpoint", args=[pk])
    return _form(request, form, title="Change the webhook", verb="Save", back=back, endpoint=endpoint)


def _form(request: HttpRequest, form: ChangeForm, **context: Any) -> HttpResponse:
    return render(request, "events/endpoint_form.html", {"nav": "webhooks", "form": form, **context})


def show_secret(request: HttpRequest, endpoint: EventEndpoint, secret: str, *, fresh: bool) -> HttpResponse:
    """The one time that the secret is shown: as the answer to the change, kept neither here nor in a cache."""
    context = {"nav": "webhooks", "endpoint": endpoint, "secret": secret, "fresh": fresh}
    response = render(request, "events/secret.html", context)
    response["Cache-Control"] = "no-store"
    return response


@for_owners
@require_safe
def endpoint_detail(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    deliveries = endpoint.deliveries.select_related("event").order_by("-pk")
    tells = {offer.event_type: offer.tells for offer in offers()}
    context: dict[str, Any] = {
        "nav": "webhooks",
        "endpoint": endpoint,
        "hears_of": [(name, tells.get(name, "")) for name in endpoint.event_types],
        "deliveries": deliveries[:DELIVERIES_SHOWN],
    }
    number = request.GET.get("test", "")
    if number.isascii() and number.isdecimal():
        context |= waiting_for(deliveries.filter(pk=int(number)).first())
    return render(request, "events/endpoint_detail.html", context)


def waiting_for(delivery: EventDelivery | None, tries: int = 0) -> dict[str, Any]:
    """Context of the result of a test: asked for again each second until there is an answer, or none is likely."""
    tried = delivery is not None and delivery.attempts > 0 and bool(delivery.last_error)
    answered = delivery is not None and (delivery.status != OutboxStatus.PENDING or tried)
    return {"test": delivery, "answered": answered, "next_try": tries + 1, "ask_again": tries < TRIES and not answered}


@for_owners
@require_safe
@never_cache
def test_result(request: HttpRequest, pk: int) -> HttpResponse:
    tried = request.GET.get("n", "0")
    tries = int(tried) if tried.isascii() and tried.isdecimal() and len(tried) < 4 else TRIES
    context = waiting_for(own_delivery(request, pk), tries)
    response = render(request, "events/_test_result.html", context)
    if context["answered"] and getattr(request, "htmx", False):
        response["HX-Refresh"] = "true"  # the page's other parts tell of the answer, too
    return response


@for_owners
@require_POST
def send_test(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    try:
        delivery = endpoints.send_test(endpoint, by=person(request).pk)
    except ValidationError as error:
        return _refused(request, error, pk)
    return redirect(f"{reverse('events:endpoint', args=[pk])}?test={delivery.pk}")


@for_owners
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    return _move(request, pk, endpoints.pause, "Paused: events of this time are not sent, not even later.")


@for_owners
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    return _move(request, pk, endpoints.resume, "Resumed: it hears of events again.")


def _move(request: HttpRequest, pk: int, verb: Callable[..., object], outcome: str) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    try:
        verb(endpoint, by=person(request).pk)
    except ValidationError as error:
        return _refused(request, error, pk)
    messages.success(request, outcome)
    return redirect("events:endpoint", pk)


def _refused(request: HttpRequest, error: ValidationError, pk: int) -> HttpResponse:
    messages.error(request, " ".join(error.messages))
    return redirect("events:endpoint", pk)


@for_owners
@require_POST
@fresh_proof
def rotate_secret(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    try:
        secret = endpoints.rotate_secret(endpoint, by=person(request).pk)
    except ValidationError as error:
        return _refused(request, error, pk)
    endpoint.refresh_from_db()
    return show_secret(request, endpoint, secret, fresh=False)


@for_owners
@require_http_methods(["GET", "HEAD", "POST"])
def delete_endpoint(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(own(request), pk=pk)
    if request.method == "POST":
        endpoints.delete_endpoint(endpoint, by=person(request).pk)
        messages.success(request, f"Deleted {endpoint.target}. Nothing is sent there any more.")
        return redirect("events:endpoints")
    waiting = endpoint.deliveries.filter(status=OutboxStatus.PENDING).count()
    return render(request, "events/endpoint_delete.html", {"nav": "webhooks", "endpoint": endpoint, "waiting": waiting})


@for_owners
@require_POST
def redeliver(request: HttpRequest, pk: int) -> HttpResponse:
    delivery = own_delivery(request, pk)
    try:
        endpoints.redeliver(delivery, by=person(request).pk)
    except ValidationError as error:
        return _refused(request, error, delivery.endpoint_id)
    return redirect(f"{reverse('events:endpoint', args=[delivery.endpoint_id])}?test={delivery.pk}")
