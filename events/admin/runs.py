"""What beat's jobs did, to look at: the newest run of every job first, then all of them by job and outcome."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateTimeFilter

from events.models import PeriodicRun, RunOutcome
from minefarm.lib.records import UNKNOWN, GrowingRecordAdmin, age_with_moment, column

OUTCOME_LABELS = {
    RunOutcome.RUNNING: "info",
    RunOutcome.DONE: "success",
    RunOutcome.FAILED: "danger",
    RunOutcome.SKIPPED: "warning",
}

Runs = QuerySet[PeriodicRun]


# One step in the index (task, due_at) per job, whatever the number of runs.
NEWEST = """
WITH RECURSIVE newest AS (
    (SELECT * FROM periodic_runs ORDER BY task DESC, due_at DESC LIMIT 1)
    UNION ALL
    SELECT earlier.* FROM newest, LATERAL (
        SELECT * FROM periodic_runs WHERE task < newest.task ORDER BY task DESC, due_at DESC LIMIT 1
    ) earlier
)
SELECT * FROM newest ORDER BY task
"""


def newest_runs() -> list[PeriodicRun]:
    """The last run of every job, by the job's name."""
    return list(PeriodicRun.objects.raw(NEWEST))


class TaskFilter(DropdownFilter):
    title = "job"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(run.task, run.task) for run in newest_runs()]

    def queryset(self, request: HttpRequest, queryset: Runs) -> Runs:
        return queryset.filter(task=self.value()) if self.value() else queryset


@admin.register(PeriodicRun)
class PeriodicRunAdmin(GrowingRecordAdmin):
    list_display = ("task", "due_at", "outcome_label", "started", "took", "hostname", "error_shown")
    list_filter = (TaskFilter, ("outcome", ChoicesDropdownFilter), ("due_at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("task__istartswith",)
    search_help_text = "Start of the job's name"
    ordering = ("-due_at", "task")
    list_before_template = "admin/events/periodicrun/newest.html"
    fields = ("task", "due_at", "outcome", "started_at", "finished_at", "took", "hostname", "error")

    @column("outcome", ordering="outcome", label=OUTCOME_LABELS)
    def outcome_label(self, run: PeriodicRun) -> tuple[str, str]:
        return run.outcome, run.get_outcome_display()

    @column("started", ordering="started_at")
    def started(self, run: PeriodicRun) -> SafeString | str:
        return age_with_moment(run.started_at, timezone.now())

    @column("took")
    def took(self, run: PeriodicRun) -> str:
        return UNKNOWN if run.duration is None else f"{run.duration.total_seconds():,.1f} s"

    @column("error")
    def error_shown(self, run: PeriodicRun) -> str:
        text = run.error or UNKNOWN
        return text if len(text) <= 80 else f"{text[:79]}…"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        newest = [
            (run, OUTCOME_LABELS[RunOutcome(run.outcome)], self.took(run), self.started(run)) for run in newest_runs()
        ]
        page: HttpResponse = super().changelist_view(request, {"newest": newest} | (extra_context or {}))
        return page
