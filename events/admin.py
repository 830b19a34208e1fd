"""Locks and events, to look at: both are written by jobs alone."""

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from events.models import OutboxEvent, OutboxStatus, PeriodicRun, RunOutcome, SchedulerLock
from minefarm.lib.records import GrowingRecordAdmin, RecordAdmin, age_with_moment, column

EVENT_LABELS = {OutboxStatus.PENDING: "info", OutboxStatus.PROCESSED: "success", OutboxStatus.FAILED: "danger"}
RUN_LABELS = {
    RunOutcome.RUNNING: "info",
    RunOutcome.DONE: "success",
    RunOutcome.FAILED: "danger",
    RunOutcome.SKIPPED: "warning",
}
LOCK_LABELS = {"held": "success", "free": "default"}


@admin.register(SchedulerLock)
class SchedulerLockAdmin(RecordAdmin):
    list_display = ("lock_key", "state", "hostname", "process_id", "lock_version", "heartbeat", "expires_at")
    search_fields = ("lock_key", "hostname")
    ordering = ("lock_key",)
    fields = (
        "lock_key",
        "hostname",
        "process_id",
        "holder",
        "lock_version",
        "acquired_at",
        "last_heartbeat",
        "expires_at",
    )

    @column("state", label=LOCK_LABELS)
    def state(self, lock: SchedulerLock) -> tuple[str, str]:
        state = "held" if lock.expires_at > timezone.now() else "free"
        return state, state

    @column("last heartbeat", ordering="last_heartbeat")
    def heartbeat(self, lock: SchedulerLock) -> SafeString | str:
        return age_with_moment(lock.last_heartbeat, timezone.now())


@admin.register(PeriodicRun)
class PeriodicRunAdmin(GrowingRecordAdmin):
    list_display = ("id", "task", "due_at", "outcome_label", "started_at", "took", "hostname")
    list_filter = (("outcome", ChoicesDropdownFilter), ("due_at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("task__startswith",)
    search_help_text = "Start of the task's name"
    ordering = ("-id",)
    fields = ("task", "due_at", "outcome", "started_at", "finished_at", "took", "hostname", "error")

    @column("outcome", ordering="outcome", label=RUN_LABELS)
    def outcome_label(self, run: PeriodicRun) -> tuple[str, str]:
        return run.outcome, run.get_outcome_display()

    @column("took")
    def took(self, run: PeriodicRun) -> str:
        return "-" if run.duration is None else f"{run.duration.total_seconds():.3f} s"


@admin.register(OutboxEvent)
class OutboxEventAdmin(GrowingRecordAdmin):
    list_display = ("id", "event_type", "status_label", "created", "processed_at")
    list_filter = (("status", ChoicesDropdownFilter), ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("event_type__istartswith",)
    search_help_text = "Start of the event's type"
    ordering = ("-id",)
    fields = ("event_type", "status", "payload", "created_at", "processed_at")

    @column("status", ordering="status", label=EVENT_LABELS)
    def status_label(self, event: OutboxEvent) -> tuple[str, str]:
        return event.status, event.get_status_display()

    @column("created", ordering="id")
    def created(self, event: OutboxEvent) -> SafeString | str:
        return age_with_moment(event.created_at, timezone.now())
