"""Doors to charts of any range and to the energy ledger."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from hosting.api.telemetry import DEFAULT_RANGE
from hosting.energy import PERIODS, Energy, energy
from hosting.models import EnergySource, Miner, Site
from hosting.telemetry import series
from hosting.telemetry.tiers import Grid
from minefarm.lib.parameters import parse_moment, refuse_unknown_parameters

RANGE = frozenset({"from", "to"})
LONGEST = {"hour": timedelta(days=31), "day": timedelta(days=366), "month": timedelta(days=3660)}


class ChartSerializer(serializers.Serializer[Any]):
    t = serializers.ListField(
        child=serializers.IntegerField(), help_text="Seconds since 1970: starts of the intervals."
    )
    hashrate_ths = serializers.ListField(child=serializers.FloatField(allow_null=True))
    power_kw = serializers.ListField(child=serializers.FloatField(allow_null=True))
    temperature_c = serializers.ListField(child=serializers.FloatField(allow_null=True))
    step_s = serializers.IntegerField()
    power_estimated = serializers.BooleanField()


class EnergySerializer(serializers.Serializer[Any]):
    site_id = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    # A string: a JSON number would lose the last digits.
    kwh = serializers.DecimalField(
        max_digits=20, decimal_places=6, allow_null=True, coerce_to_string=True, help_text="Exact; null where unknown."
    )
    source = serializers.ChoiceField(choices=EnergySource.choices)  # type: ignore[assignment]  # not DRF's own `source`
    coverage = serializers.FloatField(help_text="Share of the machines' time of which the power is known, 0 to 1.")
    hashing_minutes = serializers.FloatField()
    machine_hours = serializers.FloatField()
    gap_s = serializers.IntegerField()


class EnergyAnswer(serializers.Serializer[Any]):
    results = EnergySerializer(many=True)


FROM_TO = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="First moment; by default a day before `to`."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="First moment after the range; by default now."),
]
PER = OpenApiParameter("per", str, enum=PERIODS, default="day", description="Hour, day or month of the site's clock.")


def asked_range(request: Request) -> tuple[datetime, datetime]:
    """`from` and `to`; raises ValidationError (400)."""
    asked = request.query_params
    end = parse_moment("to", asked["to"]) if "to" in asked else timezone.now()
    start = parse_moment("from", asked["from"]) if "from" in asked else end - DEFAULT_RANGE
    if start >= end:
        raise ValidationError({"from": "The range is empty: `from` must be before `to`."})
    return start, end


def asked_period(request: Request, start: datetime, end: datetime) -> str:
    per = request.query_params.get("per", "day")
    if per not in PERIODS:
        raise ValidationError({"per": f"Choose one of {', '.join(PERIODS)}."})
    if end - start > LONGEST[per] + timedelta(minutes=1):
        raise ValidationError({"from": f"Per {per} a range is at most {LONGEST[per].days} days. Ask in parts."})
    return per


class LedgerView(GenericAPIView[Any]):
    # What the doors below share. No docstring: the schema would print it.

    filter_backends = ()
    pagination_class = None

    def miner(self, request: Request, pk: int) -> Miner:
        miner = Miner.objects.for_user(actor(request)).filter(pk=pk).first()
        if miner is None:
            raise NotFound
        return miner

    def site(self, request: Request, pk: int) -> Site:
        # A customer may know the site, but not what the whole of it does.
        user = actor(request)
        site = Site.objects.for_user(user).filter(pk=pk).first() if user.is_staff else None
        if site is None:
            raise NotFound
        return site

    def answer(self, rows: Sequence[Energy]) -> Response:
        return Response({"results": EnergySerializer(rows, many=True).data})


class MinerChartView(LedgerView):
    queryset = Miner.objects.none()  # tells the schema what {id} is
    serializer_class = ChartSerializer

    @extend_schema(
        operation_id="miners_chart",
        summary="One machine over any range, in at most 500 points",
        parameters=FROM_TO,
        responses=ChartSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, RANGE)
        miner = self.miner(request, pk)
        return Response(series.miner_chart(miner.pk, Grid.between(*asked_range(request))).as_json())


class SiteChartView(LedgerView):
    queryset = Site.objects.none()
    serializer_class = ChartSerializer

    @extend_schema(
        operation_id="sites_chart",
        summary="A site over any range, in at most 500 points (staff)",
        parameters=FROM_TO,
        responses=ChartSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, RANGE)
        site = self.site(request, pk)
        return Response(series.site_chart(site.pk, Grid.between(*asked_range(request))).as_json())


class MinerEnergyView(LedgerView):
    queryset = Miner.objects.none()
    serializer_class = EnergyAnswer

    @extend_schema(
        operation_id="miners_energy",
        summary="kWh of one machine per hour, day or month",
        parameters=[*FROM_TO, PER],
        responses=EnergyAnswer,
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, RANGE | {"per"})
        miner, user = self.miner(request, pk), actor(request)
        start, end = asked_range(request)
        per = asked_period(request, start, end)
        return self.answer(energy(miner, start, end, per=per, owned_by=None if user.is_staff else user))


class SiteEnergyView(LedgerView):
    queryset = Site.objects.none()
    serializer_class = EnergyAnswer

    @extend_schema(
        operation_id="sites_energy",
        summary="kWh of a site per hour, day or month (staff)",
        parameters=[*FROM_TO, PER],
        responses=EnergyAnswer,
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, RANGE | {"per"})
        site = self.site(request, pk)
        start, end = asked_range(request)
        return self.answer(energy(site, start, end, per=asked_period(request, start, end)))
