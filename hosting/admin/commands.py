"""Batches of commands and what became of each: to look at. Orders are given from the list of machines."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.access import actor
from hosting.admin.filters import SiteFilter
from hosting.models import CommandBatch, MinerCommand
from hosting.states import OPEN_COMMANDS, CommandStatus
from minefarm.lib.records import UNKNOWN, GrowingRecordAdmin, age_with_moment, column

STATUS_LABELS = {
    CommandStatus.CONFIRMED: "success",
    CommandStatus.FAILED: "danger",
    CommandStatus.EXPIRED: "danger",
    CommandStatus.UNSUPPORTED: "warning",
    CommandStatus.ACCEPTED: "info",
    CommandStatus.SENT: "info",
}
SHOWN = 200
REFRESH_S = 3


@admin.register(CommandBatch)
class CommandBatchAdmin(GrowingRecordAdmin):
    list_display = ("number", "order", "miners", "progress", "reason", "who", "given", "state")
    list_filter = (("order", ChoicesDropdownFilter), ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("requested_by",)
    search_fields = ("reason", "requested_by__email")
    search_help_text = "Reason or e-mail of the person"
    ordering = ("-id",)
    fields = ("order", "watts", "reason", "who", "miners", "progress", "created_at", "expires_at", "finished_at")
    change_form_outer_after_template = "admin/hosting/commandbatch/results.html"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CommandBatch]":
        return CommandBatch.objects.for_user(actor(request)).with_counts()

    @column("batch", ordering="id")
    def number(self, batch: CommandBatch) -> str:
        return f"#{batch.pk}"

    @column("results")
    def progress(self, batch: CommandBatch) -> str:
        counted = ((status, getattr(batch, status.value, 0)) for status in CommandStatus)
        return ", ".join(f"{count:,} {status.label.lower()}" for status, count in counted if count) or UNKNOWN

    @column("by", ordering="requested_by__email")
    def who(self, batch: CommandBatch) -> str:
        return str(batch.requested_by or "MineFarm")

    @column("given", ordering="created_at")
    def given(self, batch: CommandBatch) -> SafeString | str:
        return age_with_moment(batch.created_at, timezone.now())

    @column("state", label={"done": "success", "under way": "info"})
    def state(self, batch: CommandBatch) -> tuple[str, str]:
        word = "done" if batch.finished_at else "under way"
        return word, word

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the machines, those that need somebody first; while the batch is under way the page fetches itself again."""
        batch = self.get_object(request, object_id)
        results: dict[str, Any] = {}
        if batch is not None:
            rows = MinerCommand.objects.for_user(actor(request)).filter(batch=batch).select_related("miner")
            trouble = Case(
                When(status__in=(CommandStatus.FAILED, CommandStatus.EXPIRED), then=Value(0)),
                When(status=CommandStatus.UNSUPPORTED, then=Value(1)),
                When(status__in=OPEN_COMMANDS, then=Value(2)),
                default=Value(3),
                output_field=IntegerField(),
            )
            shown = list(rows.order_by(trouble, "miner__serial_number")[:SHOWN])
            toned = [(row, STATUS_LABELS.get(CommandStatus(row.status), "")) for row in shown]
            results = {"results": toned, "more": max(batch.miners - len(shown), 0)}
        page: HttpResponse = super().change_view(request, object_id, form_url, results | (extra_context or {}))
        if batch is not None and batch.finished_at is None:
            page["Refresh"] = str(REFRESH_S)
        return page


@admin.register(MinerCommand)
class MinerCommandAdmin(GrowingRecordAdmin):
    list_display = ("machine", "order", "status_label", "detail", "attempts", "given", "batch")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("batch__order", ChoicesDropdownFilter),
        ("miner__site", SiteFilter),
    )
    list_filter_submit = True
    list_select_related = ("miner", "batch")
    search_fields = ("miner__serial_number",)
    search_help_text = "Serial number"
    ordering = ("-id",)
    fields = (
        "batch",
        "miner",
        "status",
        "detail",
        "attempts",
        "created_at",
        "sent_at",
        "accepted_at",
        "finished_at",
        "before",
        "after",
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MinerCommand]":
        return MinerCommand.objects.for_user(actor(request))

    @column("machine", ordering="miner__serial_number")
    def machine(self, command: MinerCommand) -> SafeString:
        url = reverse("admin:hosting_miner_change", args=[command.miner_id])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, command.miner)

    @column("order")
    def order(self, command: MinerCommand) -> str:
        return command.batch.get_order_display()

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, command: MinerCommand) -> tuple[str, str]:
        return command.status, command.get_status_display()

    @column("given", ordering="created_at")
    def given(self, command: MinerCommand) -> SafeString | str:
        return age_with_moment(command.created_at, timezone.now())
