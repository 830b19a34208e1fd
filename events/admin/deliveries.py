"""What was sent where and what came back, to look at; send again or give up."""

from collections.abc import Callable

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter, RelatedDropdownFilter

from events.admin.outbox import STATUS_LABELS
from events.admin.trail import log, person, preformatted, tell
from events.models import EventDelivery
from events.sinks import endpoints
from minefarm.lib.records import UNKNOWN, GrowingRecordAdmin, age_with_moment, column

Deliveries = QuerySet[EventDelivery]


@admin.register(EventDelivery)
class EventDeliveryAdmin(GrowingRecordAdmin):
    list_display = (
        *("id", "event_type", "endpoint", "status_label", "response_status", "attempts", "took", "error", "created"),
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("endpoint", RelatedDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_select_related = ("event", "endpoint")
    search_fields = ("event__event_type__istartswith",)
    search_help_text = "Start of the event's type"
    ordering = ("-id",)
    actions = ("redeliver", "cancel")
    fieldsets = (
        (None, {"fields": ("event", "endpoint", "aggregate_key", "status", "created_at", "processed_at")}),
        ("Last answer", {"fields": ("response_status", "took", "last_error", "excerpt")}),
        ("Attempts", {"fields": ("attempts", "next_attempt_at", "locked_by", "locked_until")}),
    )

    @column("event", ordering="event__event_type")
    def event_type(self, delivery: EventDelivery) -> str:
        return delivery.event.event_type

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, delivery: EventDelivery) -> tuple[str, str]:
        return delivery.status, delivery.get_status_display()

    @column("took", ordering="duration_ms")
    def took(self, delivery: EventDelivery) -> str:
        return UNKNOWN if delivery.duration_ms is None else f"{delivery.duration_ms:,} ms"

    @column("last error")
    def error(self, delivery: EventDelivery) -> str:
        text = delivery.last_error or UNKNOWN
        return text if len(text) <= 80 else f"{text[:79]}…"

    @column("created", ordering="id")
    def created(self, delivery: EventDelivery) -> SafeString | str:
        return age_with_moment(delivery.created_at, timezone.now())

    @column("answer")
    def excerpt(self, delivery: EventDelivery) -> SafeString | str:
        return preformatted(delivery.response_excerpt) if delivery.response_excerpt else UNKNOWN

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        return person(request).has_perm("events.redeliver_eventdelivery")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return person(request).has_perm("events.cancel_eventdelivery")

    @admin.action(description="Send again", permissions=["redeliver"])
    def redeliver(self, request: HttpRequest, queryset: Deliveries) -> None:
        self._each(request, queryset, endpoints.redeliver, "Sent again.", "on the way again")

    @admin.action(description="Cancel waiting ones", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: Deliveries) -> None:
        self._each(request, queryset, endpoints.cancel_delivery, "Cancelled.", "cancelled")

    def _each(
        self, request: HttpRequest, queryset: Deliveries, verb: Callable[..., object], logged: str, outcome: str
    ) -> None:
        moved, refusals = [], set()
        rows = list(queryset)
        for delivery in rows:
            try:
                verb(delivery, by=person(request).pk)
            except ValidationError as refusal:
                refusals.update(refusal.messages)
            else:
                moved.append(delivery)
        log(request, moved, logged)
        why_not = " ".join(sorted(refusals)).rstrip(".")
        tell(request, chosen=len(rows), moved=len(moved), what="delivery", outcome=outcome, why_not=why_not)
