from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter, RelatedDropdownFilter

from accounts.access import actor
from hosting.models import Miner, Rack, Site


class SiteFilter(RelatedDropdownFilter):
    """Offers the sites that the person reaches; the names of others stay unknown."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        reached = Site.objects.for_user(actor(request)).order_by("name")
        return [(site.pk, str(site)) for site in reached]


class RackFilter(RelatedDropdownFilter):
    """Offers the racks that the person reaches."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(rack.pk, str(rack)) for rack in Rack.objects.for_user(actor(request)).select_related("building")]


class ServiceFilter(DropdownFilter):
    """Without a choice the list shows the farm as it is."""

    title = "in service"
    parameter_name = "service"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("retired", "Retired"), ("all", "Both")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Miner]") -> "QuerySet[Miner]":
        if self.value() == "all":
            return queryset
        return queryset.filter(retired_at__isnull=self.value() != "retired")


class WarrantyFilter(DropdownFilter):
    title = "warranty"
    parameter_name = "warranty"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("30", "Ends within 30 days"),
            ("90", "Ends within 90 days"),
            ("365", "Ends within a year"),
            ("over", "Over"),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Miner]") -> "QuerySet[Miner]":
        today, value = timezone.now().date(), self.value()
        if value == "over":
            return queryset.filter(warranty_expiry__lt=today)
        if value in {"30", "90", "365"}:
            return queryset.filter(warranty_expiry__range=(today, today + timedelta(days=int(value))))
        return queryset
