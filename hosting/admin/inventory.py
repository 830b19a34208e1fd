"""Sites, the model catalogue and the machines in the admin."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)

from accounts.access import actor
from hosting import services
from hosting.admin.actions import MinerActions
from hosting.admin.filters import SiteFilter
from hosting.admin.imports import MinerImportAdmin
from hosting.admin.upkeep import ElectricityPriceInline
from hosting.edge.silence import agent_hint
from hosting.models import Miner, MinerLatest, MinerModel, Site, TelemetrySweep
from hosting.states import Collector, MinerStatus
from hosting.summary import FRESH_FOR, last_sweeps
from minefarm.lib.records import UNKNOWN, FarmAdmin, age_with_moment, column

STATUS_LABELS = {
    MinerStatus.ACTIVE: "success",
    MinerStatus.OFFLINE: "danger",
    MinerStatus.MAINTENANCE: "warning",
    MinerStatus.CURTAILED: "info",
}
SWEEPS_SHOWN = 15


@admin.register(Site)
class SiteAdmin(FarmAdmin):
    list_display = ("name", "location", "capacity", "total_miners", "active_share", "last_sweep", "page")
    search_fields = ("name", "location")
    inlines = (ElectricityPriceInline,)
    change_form_outer_after_template = "admin/hosting/site/sweeps.html"
    readonly_fields = ("total_miners", "active_miners", "created_at", "agent_state")
    fieldsets = (
        (None, {"fields": ("name", "location", "time_zone", "capacity_mw")}),
        ("Reading", {"fields": ("collector", "agent_state")}),
        ("Machines", {"fields": ("total_miners", "active_miners", "created_at")}),
    )
    add_fieldsets = ((None, {"fields": ("name", "location", "time_zone", "capacity_mw")}),)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Site]":
        newest = TelemetrySweep.objects.filter(site=OuterRef("pk")).order_by("-minute").values("minute")
        return Site.objects.for_user(actor(request)).annotate(swept_at=Subquery(newest[:1]))

    def get_view_on_site_url(self, obj: Site | None = None) -> str | None:
        return None if obj is None else reverse("hosting:site", args=[obj.pk])

    @column("capacity (MW)", ordering="capacity_mw")
    def capacity(self, site: Site) -> str:
        return UNKNOWN if site.capacity_mw is None else f"{site.capacity_mw:,.3f}"

    @column("active", ordering="active_miners")
    def active_share(self, site: Site) -> str:
        if not site.total_miners:
            return UNKNOWN
        return f"{site.active_miners} ({100 * site.active_miners // site.total_miners} %)"

    @column("last sweep", ordering="swept_at")
    def last_sweep(self, site: Site) -> SafeString | str:
        return age_with_moment(getattr(site, "swept_at", None), timezone.now())

    @column("agent")
    def agent_state(self, site: Site) -> str:
        """What was last heard of the site's agent, and what to do when that is long ago."""
        if site.collector != Collector.AGENT:
            return UNKNOWN
        return agent_hint(site, timezone.now())

    @column("page")
    def page(self, site: Site) -> SafeString:
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">Open</a>',
            reverse("hosting:site", args=[site.pk]),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        number = int(object_id) if object_id.isascii() and object_id.isdecimal() and len(object_id) < 10 else 0
        sweeps = {"sweeps": last_sweeps(number, count=SWEEPS_SHOWN)}
        page: HttpResponse = super().change_view(request, object_id, form_url, sweeps | (extra_context or {}))
        return page


@admin.register(MinerModel)
class MinerModelAdmin(FarmAdmin):
    list_display = (
        "name",
        "manufacturer",
        "hashrate",
        "power_consumption",
        "efficiency",
        "release_date",
        "msrp",
    )
    list_filter = ("manufacturer",)
    search_fields = ("name", "manufacturer")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "efficiency":
            field.help_text = "Leave empty: power ÷ hashrate."
        return field


class ManufacturerFilter(DropdownFilter):
    title = "manufacturer"
    parameter_name = "manufacturer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        makers = MinerModel.objects.exclude(manufacturer=None).order_by("manufacturer").values_list("manufacturer")
        return [(maker, maker) for (maker,) in makers.distinct() if maker]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Miner]") -> "QuerySet[Miner]":
        return queryset.filter(miner_model__manufacturer=self.value()) if self.value() else queryset


@admin.register(Miner)
class MinerAdmin(FarmAdmin, MinerActions, MinerImportAdmin):
    list_display = (
        "serial_number",
        "miner_model",
        "site",
        "client",
        "status_label",
        "hashrate_ths",
        "power_w",
        "temperature_c",
        "last_seen",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("site", SiteFilter),
        ("miner_model", RelatedDropdownFilter),
        ManufacturerFilter,
        ("client", RelatedDropdownFilter),
        ("cgminer_enabled", BooleanRadioFilter),
    )
    list_filter_submit = True
    list_select_related = ("miner_model", "site", "client", "latest")
    search_fields = ("serial_number", "cgminer_ip", "client__email")
    search_help_text = "Serial, IP or the client's e-mail"
    ordering = ("serial_number",)
    readonly_fields = ("status", "latest_reading", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("serial_number", "miner_model", "site", "client", "status")}),
        ("Reading", {"fields": ("cgminer_ip", "cgminer_port", "cgminer_enabled", "latest_reading")}),
        ("Purchase", {"fields": ("purchase_date", "warranty_expiry", "created_at", "updated_at")}),
    )
    add_fieldsets = (
        (None, {"fields": ("serial_number", "miner_model", "site", "client")}),
        ("Reading", {"fields": ("cgminer_ip", "cgminer_port", "cgminer_enabled")}),
        ("Purchase", {"fields": ("purchase_date", "warranty_expiry")}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Miner]":
        return Miner.objects.for_user(actor(request))

    def get_view_on_site_url(self, obj: Miner | None = None) -> str | None:
        return None if obj is None else reverse("hosting:miner", args=[obj.pk])

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """People limited to sites put machines into those, and into no other."""
        if db_field.name == "site":
            kwargs["queryset"] = Site.objects.for_user(actor(request))
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "site":
            field.required = actor(request).site_ids is not None
        return field

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, miner: Miner) -> tuple[str, str]:
        return miner.status, miner.get_status_display()

    @column("TH/s", ordering="latest__hashrate_ths")
    def hashrate_ths(self, miner: Miner) -> str:
        latest = fresh_reading(miner)
        return UNKNOWN if latest is None or latest.hashrate_ths is None else f"{latest.hashrate_ths:,.1f}"

    @column("W", ordering="latest__power_w")
    def power_w(self, miner: Miner) -> str:
        latest = fresh_reading(miner)
        if latest is None or latest.power_w is None:
            return UNKNOWN
        return f"{latest.power_w:,.0f}{' est.' if latest.power_estimated else ''}"

    @column("°C", ordering="latest__temperature_c")
    def temperature_c(self, miner: Miner) -> str:
        latest = fresh_reading(miner)
        return UNKNOWN if latest is None or latest.temperature_c is None else f"{latest.temperature_c:.0f}"

    @column("last seen", ordering="latest__seen_at")
    def last_seen(self, miner: Miner) -> SafeString | str:
        latest = getattr(miner, "latest", None)
        return age_with_moment(latest.seen_at if latest else None, timezone.now())

    @column("latest reading")
    def latest_reading(self, miner: Miner) -> str:
        latest = getattr(miner, "latest", None)
        return render_to_string(
            "admin/hosting/miner/latest.html", {"latest": latest, "miner": miner, "now": timezone.now()}
        )

    def save_model(self, request: HttpRequest, obj: Miner, form: Any, change: bool) -> None:
        """Write what the form changed and nothing else: the collector may be moving the status at this moment."""
        before = Miner.objects.filter(pk=obj.pk).values_list("site_id", flat=True).first()
        with transaction.atomic():
            if change:
                obj.save(update_fields=[*form.changed_data, "updated_at"])
                if form.changed_data:
                    services.log_changes({obj.pk: ", ".join(form.changed_data)}, by=actor(request))
            else:
                obj.save()
            services.recount_sites([before, obj.site_id])

    def delete_model(self, request: HttpRequest, obj: Miner) -> None:
        super().delete_model(request, obj)
        services.recount_sites([obj.site_id])


def fresh_reading(miner: Miner) -> MinerLatest | None:
    """The latest reading unless it is history by now; expects the machine joined with `latest`."""
    latest: MinerLatest | None = getattr(miner, "latest", None)
    if latest is None or latest.seen_at is None or latest.seen_at <= timezone.now() - FRESH_FOR:
        return None
    return latest
