"""What was measured and done, to look at: the collector and the services write it."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter

from accounts.access import actor
from hosting.admin.filters import SiteFilter
from hosting.models import MinerLatest, OperationLog
from hosting.summary import FRESH_FOR
from minefarm.lib.records import UNKNOWN, GrowingRecordAdmin, RecordAdmin, age_with_moment, column

HEALTH_LABELS = {"fresh": "success", "stale": "warning", "never": "danger"}


class ErrorFilter(DropdownFilter):
    """Why the last attempt failed."""

    title = "last attempt"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        errors = MinerLatest.objects.exclude(error=None).order_by("error").values_list("error", flat=True).distinct()
        return [("none", "read"), ("any", "failed"), *((error, f"failed: {error}") for error in errors if error)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[MinerLatest]") -> "QuerySet[MinerLatest]":
        wanted = self.value()
        if wanted in {"none", "any"}:
            return queryset.filter(error__isnull=wanted == "none")
        return queryset.filter(error=wanted) if wanted else queryset


@admin.register(MinerLatest)
class MinerLatestAdmin(RecordAdmin):
    list_display = ("miner", "site", "health", "hashrate", "power", "temperature", "fans", "seen", "error")
    list_filter = (ErrorFilter, ("miner__site", SiteFilter))
    list_filter_submit = True
    list_select_related = ("miner__site",)
    search_fields = ("miner__serial_number", "miner__cgminer_ip")
    search_help_text = "Serial number or IP address"
    ordering = ("miner__serial_number",)
    fields = (
        "miner",
        "seen_at",
        "attempted_at",
        "error",
        "hashrate",
        "hashrate_avg",
        "power",
        "temperature",
        "board_temperature_c",
        "inlet_temperature_c",
        "fans",
        "uptime",
        "accepted",
        "rejected",
        "hardware_errors",
        "boards_told",
        "error_codes",
        "pool_url",
        "pool_worker",
        "details_at",
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MinerLatest]":
        return MinerLatest.objects.for_user(actor(request))

    def get_view_on_site_url(self, obj: MinerLatest | None = None) -> str | None:
        return None if obj is None else reverse("hosting:miner", args=[obj.pk])

    @column("site", ordering="miner__site__name")
    def site(self, latest: MinerLatest) -> str:
        return str(latest.miner.site or UNKNOWN)

    @column("reading", label=HEALTH_LABELS)
    def health(self, latest: MinerLatest) -> tuple[str, str]:
        if latest.seen_at is None:
            return "never", "never"
        health = "fresh" if latest.seen_at > timezone.now() - FRESH_FOR else "stale"
        return health, health

    @column("TH/s", ordering="hashrate_ths")
    def hashrate(self, latest: MinerLatest) -> str:
        return UNKNOWN if latest.hashrate_ths is None else f"{latest.hashrate_ths:,.2f}"

    @column("TH/s, the device's own mean")
    def hashrate_avg(self, latest: MinerLatest) -> str:
        return UNKNOWN if latest.hashrate_avg_ths is None else f"{latest.hashrate_avg_ths:,.2f}"

    @column("°C", ordering="temperature_c")
    def temperature(self, latest: MinerLatest) -> str:
        return UNKNOWN if latest.temperature_c is None else f"{latest.temperature_c:.1f}"

    @column("boards")
    def boards_told(self, latest: MinerLatest) -> str:
        told = [", ".join(f"{name} {value}" for name, value in board.items()) for board in latest.boards or []]
        return "; ".join(told) or UNKNOWN

    @column("uptime")
    def uptime(self, latest: MinerLatest) -> str:
        return UNKNOWN if latest.uptime_s is None else str(timedelta(seconds=latest.uptime_s))

    @column("W", ordering="power_w")
    def power(self, latest: MinerLatest) -> str:
        if latest.power_w is None:
            return UNKNOWN
        return f"{latest.power_w:,.0f}{' est.' if latest.power_estimated else ''}"

    @column("fans (RPM)")
    def fans(self, latest: MinerLatest) -> str:
        return " ".join(str(rpm) for rpm in latest.fan_rpm) or UNKNOWN

    @column("last seen", ordering="seen_at")
    def seen(self, latest: MinerLatest) -> SafeString | str:
        return age_with_moment(latest.seen_at, timezone.now())


@admin.register(OperationLog)
class OperationLogAdmin(GrowingRecordAdmin):
    list_display = ("timestamp", "machine", "operation", "details", "who")
    list_filter = (("timestamp", RangeDateTimeFilter), ("miner__site", SiteFilter))
    list_filter_submit = True
    list_select_related = ("miner", "performed_by")
    search_fields = ("miner__serial_number", "operation")
    search_help_text = "Serial number or operation"
    ordering = ("-timestamp", "-id")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[OperationLog]":
        return OperationLog.objects.for_user(actor(request))

    @column("machine", ordering="miner__serial_number")
    def machine(self, entry: OperationLog) -> SafeString:
        url = reverse("admin:hosting_miner_change", args=[entry.miner_id])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, entry.miner)

    @column("by", ordering="performed_by__email")
    def who(self, entry: OperationLog) -> str:
        return str(entry.performed_by or "MineFarm")
