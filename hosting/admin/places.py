"""Buildings, racks and circuits in the admin; what is over-subscribed is told, never refused."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from accounts.access import actor
from hosting.admin.filters import SiteFilter
from hosting.models import Building, Circuit, Rack, Site
from hosting.power import circuit_loads
from minefarm.lib.records import UNKNOWN, FarmAdmin, column


def warn_of_load(request: HttpRequest, site_ids: Iterable[int | None]) -> None:
    """Tell which circuits of these sites are over-subscribed."""
    for load in circuit_loads(site_id for site_id in set(site_ids) if site_id is not None):
        if load.warning:
            messages.warning(request, load.warning)


class PlaceAdmin(FarmAdmin):
    """Choices are within the sites that the person reaches."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "site":
            kwargs["queryset"] = Site.objects.for_user(actor(request))
        if db_field.name == "building":
            kwargs["queryset"] = Building.objects.for_user(actor(request)).select_related("site")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Building)
class BuildingAdmin(PlaceAdmin):
    list_display = ("name", "site", "rack_count")
    list_filter = (("site", SiteFilter),)
    list_select_related = ("site",)
    search_fields = ("name", "site__name")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Building]":
        return Building.objects.for_user(actor(request)).annotate(rack_number=Count("racks"))

    @column("racks", ordering="rack_number")
    def rack_count(self, building: Building) -> str:
        return f"{getattr(building, 'rack_number', 0):,}"


@admin.register(Rack)
class RackAdmin(PlaceAdmin):
    list_display = ("name", "building", "site_name", "slots", "machines")
    list_filter = (("building__site", SiteFilter), "building")
    list_select_related = ("building__site",)
    search_fields = ("name", "building__name")
    filter_horizontal = ("circuits",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Rack]":
        return Rack.objects.for_user(actor(request)).annotate(machine_number=Count("miners"))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "circuits":
            kwargs["queryset"] = Circuit.objects.for_user(actor(request)).select_related("site")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)

        class RackForm(form):  # type: ignore[valid-type,misc]  # the admin makes the class
            def clean(self) -> dict[str, Any]:
                cleaned: dict[str, Any] = super().clean() or self.cleaned_data
                building, circuits = cleaned.get("building"), cleaned.get("circuits") or ()
                foreign = [circuit.name for circuit in circuits if building and circuit.site_id != building.site_id]
                if foreign:
                    self.add_error(
                        "circuits", f"At another site: {', '.join(foreign)}. Choose feeds of the rack's site."
                    )
                return cleaned

        return RackForm

    @column("site", ordering="building__site__name")
    def site_name(self, rack: Rack) -> str:
        return rack.building.site.name

    @column("machines", ordering="machine_number")
    def machines(self, rack: Rack) -> str:
        return f"{getattr(rack, 'machine_number', 0):,}"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        warn_of_load(request, [form.instance.building.site_id])


@admin.register(Circuit)
class CircuitAdmin(PlaceAdmin):
    list_filter = (("site", SiteFilter),)
    list_select_related = ("site",)
    search_fields = ("name", "site__name")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Circuit]":
        return Circuit.objects.for_user(actor(request))

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """Columns that know the loads of this request, all of one query."""
        reached = Site.objects.for_user(actor(request)).values_list("pk", flat=True)
        loads = {load.id: load for load in circuit_loads(reached)}

        @column("by nameplate (kW)")
        def nameplate(circuit: Circuit) -> str:
            return kw(loads[circuit.pk].nameplate_kw)

        @column("measured (kW)")
        def measured(circuit: Circuit) -> str:
            return kw(loads[circuit.pk].measured_kw)

        @column("load", label={"over": "danger", "fine": "success"})
        def subscribed(circuit: Circuit) -> tuple[str, str]:
            return ("over", "Over-subscribed") if loads[circuit.pk].warning else ("fine", "Within limit")

        return ("name", "site", "capacity_kw", "continuous_percent", nameplate, measured, subscribed)

    def save_model(self, request: HttpRequest, obj: Circuit, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warn_of_load(request, [obj.site_id])


def kw(value: Decimal | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}"
