"""What happened, to look at; and the two things that staff do with it: replay and cancel."""

import json
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateTimeFilter, TextFilter

from events.admin.trail import log, person, preformatted, tell
from events.catalogue import CATALOGUE
from events.models import EventDelivery, OutboxEvent, OutboxStatus
from events.outbox import cancel, replay
from minefarm.lib.records import GrowingRecordAdmin, age_with_moment, column

STATUS_LABELS = {OutboxStatus.PENDING: "info", OutboxStatus.PROCESSED: "success", OutboxStatus.FAILED: "danger"}
DELIVERIES_SHOWN = 100

Events = QuerySet[OutboxEvent]


class TypeFilter(DropdownFilter):
    """By the catalogue, not by what is in the table: asking that would read all of it."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(CATALOGUE)]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return queryset.filter(event_type=self.value()) if self.value() else queryset


class AggregateFilter(TextFilter):
    title = "about (such as miner:17)"
    parameter_name = "about"

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return queryset.filter(aggregate_key=self.value().strip()) if self.value() else queryset


@admin.register(OutboxEvent)
class OutboxEventAdmin(GrowingRecordAdmin):
    list_display = ("id", "event_type", "aggregate_key", "status_label", "attempts", "created", "processed_at")
    list_filter = (("status", ChoicesDropdownFilter), TypeFilter, AggregateFilter, ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("event_type__istartswith",)
    search_help_text = "Start of the event's type"
    ordering = ("-id",)
    actions = ("replay", "cancel")
    change_form_outer_after_template = "admin/events/outboxevent/deliveries.html"
    fieldsets = (
        (None, {"fields": ("event_type", "version", "aggregate_key", "aggregate_seq", "event_uuid", "client_id")}),
        ("Payload", {"fields": ("payload_shown",)}),
        (
            "Dispatch",
            {
                "fields": (
                    *("status", "attempts", "next_attempt_at", "last_error", "locked_by", "locked_until"),
                    *("dedupe_key", "created_at", "processed_at"),
                )
            },
        ),
    )

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, event: OutboxEvent) -> tuple[str, str]:
        return event.status, event.get_status_display()

    @column("created", ordering="id")
    def created(self, event: OutboxEvent) -> SafeString | str:
        return age_with_moment(event.created_at, timezone.now())

    @column("payload")
    def payload_shown(self, event: OutboxEvent) -> SafeString:
        text = json.dumps(event.payload, indent=2, sort_keys=True, ensure_ascii=False)
        return preformatted(text)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return person(request).has_perm("events.replay_outboxevent")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return person(request).has_perm("events.cancel_outboxevent")

    @admin.action(description="Replay: send finished and failed ones again", permissions=["replay"])
    @transaction.atomic
    def replay(self, request: HttpRequest, queryset: Events) -> None:
        finished = [OutboxStatus.PROCESSED, OutboxStatus.FAILED]
        rows = list(queryset.order_by("pk").select_for_update().filter(status__in=finished))
        moved = replay(OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]), by=request.user)
        log(request, rows, "Replayed.")
        why_not = "pending already, so on their way"
        tell(request, chosen=queryset.count(), moved=moved, what="event", outcome="pending again", why_not=why_not)

    @admin.action(description="Cancel: never send pending ones", permissions=["cancel"])
    @transaction.atomic
    def cancel(self, request: HttpRequest, queryset: Events) -> None:
        rows = list(queryset.order_by("pk").select_for_update().filter(status=OutboxStatus.PENDING))
        chosen = queryset.count()
        moved = cancel(OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]), by=request.user)
        log(request, rows, "Cancelled.")
        why_not = "not pending any more"
        tell(request, chosen=chosen, moved=moved, what="event", outcome="cancelled", why_not=why_not)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        number = int(object_id) if object_id.isascii() and object_id.isdecimal() else 0
        deliveries = EventDelivery.objects.filter(event_id=number).select_related("endpoint").order_by("pk")
        context: dict[str, Any] = {
            "deliveries": deliveries[:DELIVERIES_SHOWN],
            "may_replay": self.has_replay_permission(request),
            "may_cancel": self.has_cancel_permission(request),
        }
        page: HttpResponse = super().change_view(request, object_id, form_url, context | (extra_context or {}))
        return page
