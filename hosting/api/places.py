"""Doors to buildings, racks and circuits (staff)."""

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, F, QuerySet
from django_filters import FilterSet
from rest_framework import serializers

from accounts.access import actor
from hosting.api import rows
from hosting.api.serializers import ROW_ID, TEXT_LENGTH, SiteWithinReach, WriteSerializer
from hosting.api.views import ResourceView, described
from hosting.models import Building, Circuit, Rack, Site
from hosting.models.places import MAX_SLOTS
from hosting.power import CircuitLoad, circuit_loads
from minefarm.lib.parameters import RowIdFilter

Sent = dict[str, Any]


class BuildingSerializer(serializers.Serializer[Sent]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    site_id = serializers.IntegerField()


class RackSerializer(serializers.Serializer[Sent]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    building_id = serializers.IntegerField()
    site_id = serializers.IntegerField()
    slots = serializers.IntegerField(help_text="Numbered from 1, row by row from the upper left.")
    slots_per_shelf = serializers.IntegerField()
    machines = serializers.IntegerField(help_text="How many stand in it.")
    circuit_ids = serializers.ListField(
        child=serializers.IntegerField(), help_text="What feeds it; several share evenly."
    )


class CircuitSerializer(serializers.Serializer[Sent]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    site_id = serializers.IntegerField()
    capacity_kw = serializers.FloatField()
    continuous_percent = serializers.IntegerField(help_text="Share of the capacity that it may carry all day.")
    continuous_kw = serializers.FloatField(help_text="kW that it may carry all day.")
    racks = serializers.IntegerField()
    machines = serializers.IntegerField()
    nameplate_kw = serializers.FloatField(
        allow_null=True, help_text="By the machines' models; null when none is known."
    )
    without_nameplate = serializers.IntegerField(help_text="Machines whose model is not known: not in nameplate_kw.")
    measured_kw = serializers.FloatField(
        allow_null=True, help_text="As read within five minutes; null without a reading."
    )
    measured_machines = serializers.IntegerField(help_text="Machines that measured_kw is of.")
    warning = serializers.CharField(
        allow_blank=True, help_text="What is over-subscribed, in words; empty when nothing is."
    )


class WithinReach(serializers.PrimaryKeyRelatedField[Any]):
    """A row that the caller reaches; another one does not exist for them."""

    def get_queryset(self) -> Any:
        request = self.context.get("request")
        known = super().get_queryset()
        return known.model.objects.for_user(actor(request)) if request and known is not None else known


class BuildingWriteSerializer(WriteSerializer):
    model = Building

    name = serializers.CharField(max_length=TEXT_LENGTH)
    site_id = SiteWithinReach(source="site", queryset=Site.objects.all(), pk_field=ROW_ID)


class CircuitWriteSerializer(WriteSerializer):
    model = Circuit

    name = serializers.CharField(max_length=TEXT_LENGTH)
    site_id = SiteWithinReach(source="site", queryset=Site.objects.all(), pk_field=ROW_ID)
    capacity_kw = serializers.DecimalField(max_digits=10, decimal_places=3)
    continuous_percent = serializers.IntegerField(min_value=1, max_value=100, required=False)


class RackWriteSerializer(WriteSerializer):
    model = Rack

    name = serializers.CharField(max_length=TEXT_LENGTH)
    building_id = WithinReach(source="building", queryset=Building.objects.all(), pk_field=ROW_ID)
    slots = serializers.IntegerField(min_value=1, max_value=MAX_SLOTS, required=False)
    slots_per_shelf = serializers.IntegerField(min_value=1, max_value=50, required=False)
    circuit_ids = WithinReach(source="circuits", queryset=Circuit.objects.all(), many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        building = attrs.get("building") or (self.instance.building if self.instance else None)
        foreign = [
            circuit.name for circuit in attrs.get("circuits", ()) if building and circuit.site_id != building.site_id
        ]
        if foreign:
            told = f"At another site: {', '.join(foreign)}. Name feeds of the rack's site."
            raise serializers.ValidationError({"circuit_ids": told})
        return attrs

    def write(self, row: Any, changes: Any) -> Any:
        plain = dict(changes)
        circuits = plain.pop("circuits", None)
        written: Any = super().write(row, plain)
        if circuits is not None:
            written.circuits.set(circuits)
        return written


class BuildingFilter(FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")

    class Meta:
        model = Building
        fields: list[str] = []


class RackFilter(FilterSet):
    site = RowIdFilter(field_name="building__site_id", label="Id of the site.")
    building = RowIdFilter(field_name="building_id", label="Id of the building.")

    class Meta:
        model = Rack
        fields: list[str] = []


class CircuitFilter(FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")

    class Meta:
        model = Circuit
        fields: list[str] = []


@described("building", BuildingSerializer, seen="Halls and containers of the sites that a member of staff reaches.")
class BuildingView(ResourceView):
    queryset = Building.objects.all()
    serializer_class = BuildingWriteSerializer
    filterset_class = BuildingFilter

    def get_queryset(self) -> QuerySet[Building]:
        return Building.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Building]) -> QuerySet[Building, rows.Flat]:
        flat: QuerySet[Building, Any] = queryset.values("id", "name", "site_id")
        return flat

    def row(self, flat: rows.Flat) -> Sent:
        return flat


@described("rack", RackSerializer, seen="Racks of the sites that a member of staff reaches.")
class RackView(ResourceView):
    queryset = Rack.objects.all()
    serializer_class = RackWriteSerializer
    filterset_class = RackFilter

    def get_queryset(self) -> QuerySet[Rack]:
        return Rack.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Rack]) -> QuerySet[Rack, rows.Flat]:
        flat: QuerySet[Rack, Any] = queryset.values("id", "name", "building_id", "slots", "slots_per_shelf").annotate(
            site_id=F("building__site_id"),
            machines=Count("miners", distinct=True),
            feeds=ArrayAgg("circuits", distinct=True),
        )
        return flat

    def row(self, flat: rows.Flat) -> Sent:
        feeds = flat.pop("feeds") or []
        return flat | {"circuit_ids": sorted(circuit for circuit in feeds if circuit is not None)}


@described(
    "circuit", CircuitSerializer, seen="Circuits of the sites that a member of staff reaches, with what they carry."
)
class CircuitView(ResourceView):
    queryset = Circuit.objects.all()
    serializer_class = CircuitWriteSerializer
    filterset_class = CircuitFilter

    def get_queryset(self) -> QuerySet[Circuit]:
        return Circuit.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Circuit]) -> QuerySet[Circuit, rows.Flat]:
        flat: QuerySet[Circuit, Any] = queryset.values("id", "site_id")
        return flat

    def loads(self, site_ids: set[int]) -> dict[int, CircuitLoad]:
        return {load.id: load for load in circuit_loads(site_ids)}

    def row(self, flat: rows.Flat) -> Sent:
        return self.sent(self.loads({flat["site_id"]})[flat["id"]])

    def page_of_rows(self, flats: Sequence[rows.Flat]) -> Sequence[Sent]:
        loads = self.loads({flat["site_id"] for flat in flats})
        return [self.sent(loads[flat["id"]]) for flat in flats]

    def sent(self, load: CircuitLoad) -> Sent:
        return {
            "id": load.id,
            "name": load.name,
            "site_id": load.site_id,
            "capacity_kw": float(load.capacity_kw),
            "continuous_percent": load.continuous_percent,
            "continuous_kw": float(load.continuous_kw),
            "racks": load.racks,
            "machines": load.machines,
            "nameplate_kw": None if load.nameplate_kw is None else float(load.nameplate_kw),
            "without_nameplate": load.without_nameplate,
            "measured_kw": None if load.measured_kw is None else float(load.measured_kw),
            "measured_machines": load.measured,
            "warning": load.warning,
        }
