"""Everybody's endpoints: how they fare, and what staff do for their owners. Secrets are shown once, to whoever makes them."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from events.admin.trail import log, person, tell
from events.forms import TARGET_LENGTH, ChangeForm
from events.guard import fresh_proof
from events.models import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint, OutboxStatus
from events.owners import Owner, owners
from events.registration import change_endpoint, offers
from events.sinks import endpoints
from minefarm.lib.records import UNKNOWN, FarmAdmin, age_with_moment, column

STATUS_LABELS = {EndpointStatus.ENABLED: "success", EndpointStatus.PAUSED: "warning", EndpointStatus.DISABLED: "danger"}

Endpoints = QuerySet[EventEndpoint]


def names() -> list[tuple[str, str]]:
    return [(offer.event_type, offer.event_type) for offer in offers()]


class NewEndpointForm(ChangeForm):
    """Asked for by the owner's e-mail address: staff know people, not ids."""

    owner = forms.EmailField(label="Owner's e-mail", widget=UnfoldAdminEmailInputWidget)
    kind = forms.ChoiceField(choices=EndpointKind.choices, widget=UnfoldAdminSelectWidget)
    target = forms.CharField(
        max_length=TARGET_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text="URL of a webhook, e-mail address, or name of a Redis stream.",
    )
    field_order = ("owner", "kind", "target", "event_types", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["event_types"].widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=names())
        self.fields["description"].widget = UnfoldAdminTextInputWidget()

    def clean_owner(self) -> Any:
        try:
            return get_user_model()._default_manager.get_by_natural_key(self.cleaned_data["owner"]).pk  # noqa: SLF001  Django's documented name
        except ObjectDoesNotExist:
            raise ValidationError("Nobody has this address: add the person under Users first.") from None


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    event_types = forms.MultipleChoiceField(
        choices=names, required=False, help_text="None: every event.", widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = EventEndpoint
        fields = ("description", "event_types")


@admin.register(EventEndpoint)
class EventEndpointAdmin(FarmAdmin):
    form = EndpointForm
    list_display = ("__str__", "kind", "target", "owner", "status_label", "failing", "pending", "last_success")
    list_filter = (("status", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("target", "description")
    search_help_text = "Part of target or description, or the owner's whole e-mail address"
    ordering = ("id",)
    actions = ("pause", "resume", "rotate_secret", "send_test")
    readonly_fields = (
        *("kind", "target", "owner", "status", "status_reason", "failing_since", "failures", "held_until"),
        *("last_success_at", "previous_secret_until", "created_at", "updated_at"),
    )
    fieldsets = (
        (None, {"fields": ("kind", "target", "owner", "description", "event_types")}),
        (
            "State",
            {
                "fields": (
                    *("status", "status_reason", "failing_since", "failures", "held_until", "last_success_at"),
                    *("previous_secret_until", "created_at", "updated_at"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Endpoints:
        waiting = (
            EventDelivery.objects.filter(endpoint=OuterRef("pk"), status=OutboxStatus.PENDING)
            .order_by()
            .values("endpoint")
            .annotate(number=Count("pk"))
            .values("number")
        )
        return EventEndpoint.objects.annotate(waiting=Coalesce(Subquery(waiting), 0))

    def get_search_results(self, request: HttpRequest, queryset: Endpoints, search_term: str) -> tuple[Endpoints, bool]:
        if "@" in search_term and "/" not in search_term:
            people = get_user_model()._default_manager.filter(email__iexact=search_term.strip())  # noqa: SLF001  Django's documented name
            return queryset.filter(owner_id__in=list(people.values_list("pk", flat=True))), False
        found, doubled = super().get_search_results(request, queryset, search_term)
        return found, doubled

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The owners of a page of endpoints, asked for at once."""
        listed = super().get_changelist_instance(request)
        rows = list(listed.result_list)
        people = owners({row.owner_id for row in rows})
        for row in rows:
            row.person = people.get(row.owner_id)
        listed.result_list = rows
        return listed

    @column("owner")
    def owner(self, endpoint: EventEndpoint) -> str:
        known = vars(endpoint)
        someone: Owner | None = (
            known["person"] if "person" in known else owners([endpoint.owner_id]).get(endpoint.owner_id)
        )
        return someone.email if someone else "nobody any more"

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, endpoint: EventEndpoint) -> tuple[str, str]:
        return endpoint.status, endpoint.get_status_display()

    @column("failing since", ordering="failing_since")
    def failing(self, endpoint: EventEndpoint) -> SafeString | str:
        return age_with_moment(endpoint.failing_since, timezone.now())

    @column("pending", ordering="waiting")
    def pending(self, endpoint: EventEndpoint) -> str:
        number = getattr(endpoint, "waiting", None)
        return UNKNOWN if number is None else f"{number:,}"

    @column("last success", ordering="last_success_at")
    def last_success(self, endpoint: EventEndpoint) -> SafeString | str:
        return age_with_moment(endpoint.last_success_at, timezone.now())

    # --- adding and changing ----------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewEndpointForm(
            request.POST if request.method == "POST" else None, initial={"owner": getattr(request.user, "email", "")}
        )
        if form.is_valid():
            values = dict(form.cleaned_data)
            try:
                endpoint, secret = endpoints.create_endpoint(values.pop("owner"), **values, by=person(request).pk)
            except ValidationError as error:
                form.refuse(error)
            else:
                self.log_addition(request, endpoint, "Added.")
                return self._show_secret(request, endpoint, secret)
        context = {**self._context(request), "title": "Add endpoint", "form": form}
        return TemplateResponse(request, "admin/events/eventendpoint/add.html", context)

    def save_model(self, request: HttpRequest, obj: EventEndpoint, form: Any, change: bool) -> None:
        """Write what the form changed and nothing else: a dispatcher may be counting failures at this moment."""
        change_endpoint(obj, **{name: form.cleaned_data[name] for name in form.changed_data})

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.model._meta}  # noqa: SLF001  the name admin templates know it by

    def _show_secret(self, request: HttpRequest, endpoint: EventEndpoint, secret: str) -> HttpResponse:
        """The one time that the secret is shown: as the answer to the change, kept neither here nor in a cache."""
        context = {**self._context(request), "title": "Secret of the endpoint", "endpoint": endpoint, "secret": secret}
        response = TemplateResponse(request, "admin/events/eventendpoint/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- actions ----------------------------------------------------------------------------------------------------

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: Endpoints) -> None:
        self._each(request, queryset, endpoints.pause, "Paused.", "paused")

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: Endpoints) -> None:
        self._each(request, queryset, endpoints.resume, "Resumed.", "enabled again")

    @admin.action(description="Send a test event", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: Endpoints) -> None:
        self._each(request, queryset, endpoints.send_test, "Sent a test event.", "sent a test event: see Deliveries")

    @admin.action(description="Rotate the secret (one endpoint)", permissions=["change"])
    @fresh_proof
    def rotate_secret(self, request: HttpRequest, queryset: Endpoints) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(request, "Choose one endpoint: each new secret is shown once and must be handed on.")
            return None
        try:
            secret = endpoints.rotate_secret(chosen[0], by=person(request).pk)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return None
        log(request, chosen, "Rotated the secret.")
        chosen[0].refresh_from_db()
        return self._show_secret(request, chosen[0], secret)

    def _each(
        self, request: HttpRequest, queryset: Endpoints, verb: Callable[..., object], logged: str, outcome: str
    ) -> None:
        moved, refusals = [], set()
        rows = list(queryset)
        for endpoint in rows:
            try:
                verb(endpoint, by=person(request).pk)
            except ValidationError as refusal:
                refusals.update(refusal.messages)
            else:
                moved.append(endpoint)
        log(request, moved, logged)
        why_not = " ".join(sorted(refusals)).rstrip(".")
        tell(request, chosen=len(rows), moved=len(moved), what="endpoint", outcome=outcome, why_not=why_not)
