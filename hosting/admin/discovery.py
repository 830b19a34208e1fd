"""Machines that scans found: adopt them into the inventory."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.access import actor
from hosting.admin.filters import SiteFilter
from hosting.matching import CannotAdopt, adopt
from hosting.models import DiscoveredMiner, FindState, Site
from hosting.tasks import discover_site
from minefarm.lib.records import RecordAdmin, age_with_moment, column

STATE_LABELS = {
    FindState.NEW: "info",
    FindState.KNOWN: "success",
    FindState.ADOPTED: "success",
    FindState.MOVED: "warning",
    FindState.MISMATCH: "danger",
}


@admin.register(DiscoveredMiner)
class DiscoveredMinerAdmin(RecordAdmin):
    list_display = ("__str__", "site", "state_label", "make", "model", "firmware", "miner", "seen")
    list_filter = (("state", ChoicesDropdownFilter), ("site", SiteFilter), "make")
    list_filter_submit = True
    list_select_related = ("site", "miner")
    search_fields = ("host", "serial", "mac")
    search_help_text = "IP, serial number or MAC"
    actions = ("adopt_finds", "scan_again")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[DiscoveredMiner]":
        return DiscoveredMiner.objects.for_user(actor(request))

    @column("state", ordering="state", label=STATE_LABELS)
    def state_label(self, find: DiscoveredMiner) -> tuple[str, str]:
        return find.state, find.get_state_display()

    @column("last seen", ordering="seen_at")
    def seen(self, find: DiscoveredMiner) -> SafeString | str:
        return age_with_moment(find.seen_at, timezone.now())

    def has_adopt_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("discoveredminer:adopt")

    @admin.action(description="Adopt into the inventory", permissions=["adopt"])
    def adopt_finds(self, request: HttpRequest, queryset: "QuerySet[DiscoveredMiner]") -> None:
        try:
            adopted = adopt(queryset, by=actor(request))
        except CannotAdopt as reason:
            messages.error(request, f"Nothing was adopted. {reason}")
            return
        text = f"{adopted} machines adopted." if adopted else "None of these is new: only new machines are adopted."
        messages.add_message(request, messages.SUCCESS if adopted else messages.WARNING, text)

    @admin.action(description="Scan the sites of these again", permissions=["adopt"])
    def scan_again(self, request: HttpRequest, queryset: "QuerySet[DiscoveredMiner]") -> None:
        scan_in_background(request, Site.objects.filter(pk__in=queryset.order_by().values("site")))


class ScanAction(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """For the list of sites."""

    actions = ("scan_for_machines",)

    def has_adopt_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("discoveredminer:adopt")

    @admin.action(description="Scan for machines", permissions=["adopt"])
    def scan_for_machines(self, request: HttpRequest, queryset: "QuerySet[Site]") -> HttpResponse:
        scan_in_background(request, queryset)
        return redirect("admin:hosting_discoveredminer_changelist")


def scan_in_background(request: HttpRequest, sites: "QuerySet[Site]") -> None:
    """Leave the scans to workers; sites without networks are named."""
    started: list[str] = []
    for site in sites.order_by("name"):
        if site.poll_networks:
            discover_site.apply_async((site.pk, str(actor(request).pk)), expires=600)
            started.append(site.name)
        else:
            messages.warning(request, f"{site.name} lists no networks: enter them at the site first.")
    if started:
        messages.success(request, f"Scanning {', '.join(started)}: what is found appears here, known machines first.")


__all__: list[Any] = ["DiscoveredMinerAdmin", "ScanAction"]
