"""Doors to readings over time: a bounded range, a resolution, pages by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from hosting.api.serializers import SiteTelemetrySerializer, TelemetrySerializer
from hosting.models import Miner, Site, Telemetry
from hosting.telemetry import series
from minefarm.lib.paging import MAX_ID, MomentCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, parse_moment, refuse_unknown_parameters

STEPS_S = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}
FEW_MINERS = 100
# Longest range: for a farm, and for at most FEW_MINERS machines. The raw history is kept for 90 days.
LIMITS = {
    "1m": (timedelta(days=1), timedelta(days=90)),
    "5m": (timedelta(days=7), timedelta(days=90)),
    "1h": (timedelta(days=31), timedelta(days=366)),
    "1d": (timedelta(days=92), timedelta(days=366)),
}
SITE_LIMIT = timedelta(days=366)
DEFAULT_RANGE = timedelta(days=1)
MAX_MINERS_NAMED = 1000


def parse_ids(name: str, texts: list[str]) -> list[int]:
    if len(texts) > MAX_MINERS_NAMED:
        raise ValidationError({name: f"Give at most {MAX_MINERS_NAMED}, or filter by site."})
    for text in texts:
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and 1 <= int(text) <= MAX_ID):
            raise ValidationError({name: "Give the id, a whole number."})
    return sorted({int(text) for text in texts})


@dataclass(frozen=True)
class Range:
    """What a telemetry request asks for, before it is known of how many machines."""

    resolution: str
    start: datetime
    end: datetime

    @classmethod
    def asked(cls, request: Request, resolutions: tuple[str, ...], now: datetime) -> "Range":
        """Read `from`, `to` and `resolution`; raises ValidationError (400)."""
        asked = request.query_params
        resolution = asked.get("resolution", resolutions[0])
        if resolution not in resolutions:
            raise ValidationError({"resolution": f"Choose one of {', '.join(resolutions)}."})
        end = parse_moment("to", asked["to"]) if "to" in asked else None
        start = parse_moment("from", asked["from"]) if "from" in asked else (end or now) - DEFAULT_RANGE
        end = end or now
        if start >= end:
            raise ValidationError({"from": "The range is empty: `from` must be before `to`."})
        return cls(resolution, start, end)

    def refuse_longer_than(self, limit: timedelta, hint: str) -> None:
        # Every page pins the range to whole microseconds of a moment ago; a minute's grace lets the default pass again.
        if self.end - self.start > limit + timedelta(minutes=1):
            raise ValidationError(
                {"from": f"At resolution {self.resolution} a range is at most {limit.days} days{hint}. Ask in parts."}
            )

    @property
    def span(self) -> series.Span:
        step_s = STEPS_S[self.resolution]
        return (
            series.Span(self.start, self.end, step_s)
            if step_s == 60
            else series.Span.whole(self.start, self.end, step_s)
        )

    @property
    def pinned(self) -> Mapping[str, str]:
        return {"from": f"{self.start:%Y-%m-%dT%H:%M:%S.%fZ}", "to": f"{self.end:%Y-%m-%dT%H:%M:%S.%fZ}"}


RANGES = (
    "A range is at most "
    + ", ".join(
        f"{many.days} days at {name} ({few.days} for up to 100 machines)" for name, (many, few) in LIMITS.items()
    )
    + ". At 5m and coarser it is widened to whole intervals."
)


def range_parameters(*resolutions: str) -> list[OpenApiParameter]:
    return [
        OpenApiParameter("from", OpenApiTypes.DATETIME, description="First moment; by default a day before `to`."),
        OpenApiParameter("to", OpenApiTypes.DATETIME, description="First moment after the range; by default now."),
        OpenApiParameter("resolution", str, enum=resolutions, default=resolutions[0]),
    ]


class TelemetryRows(GenericAPIView[Any]):
    # What the doors below share. No docstring: the schema would print it.

    pagination_class = MomentCursor
    serializer_class: Any = TelemetrySerializer
    filter_backends = ()

    def page_of(self, request: Request, miners: QuerySet[Miner], *, narrowed: bool) -> Response:
        """Rows of these machines; `narrowed` says that they are not all the user may see."""
        user = actor(request)
        asked = Range.asked(request, tuple(STEPS_S), timezone.now())
        self._bound(asked, miners)
        before, size = self.pages.read(request)
        if asked.resolution == "1m":
            readings = Telemetry.objects.for_user(user)
            if narrowed:
                readings = readings.filter(miner_id__in=miners.values("pk"))
            found = series.minute_rows(readings, asked.span, before=before, limit=size + 1)
        else:
            ids = list(miners.values_list("pk", flat=True))
            found = series.average_rows(ids, asked.span, before=before, limit=size + 1)
        return self.pages.respond(request, found, size, number="miner_id", fixed=asked.pinned)

    @property
    def pages(self) -> MomentCursor:
        paginator = self.paginator
        if not isinstance(paginator, MomentCursor):
            raise TypeError("telemetry is paged by MomentCursor")
        return paginator

    def _bound(self, asked: Range, miners: QuerySet[Miner]) -> None:
        for_many, for_few = LIMITS[asked.resolution]
        if asked.end - asked.start <= for_many:
            return
        if miners.order_by()[: FEW_MINERS + 1].count() > FEW_MINERS:
            asked.refuse_longer_than(for_many, f", or {for_few.days} days for at most {FEW_MINERS} machines")
        asked.refuse_longer_than(for_few, "")


class TelemetryView(TelemetryRows):
    @extend_schema(
        summary="Readings of the machines that you may see, newest first",
        description=f"{RANGES} With `site` or `miner`, only those machines; one that you may not see is 404.",
        parameters=[
            *range_parameters(*STEPS_S),
            OpenApiParameter("miner", int, many=True, description="Id of a machine; may be repeated."),
            OpenApiParameter("site", int, description="Id of a site: the machines that are there now."),
        ],
        responses=TelemetrySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"from", "to", "resolution", "miner", "site"})
        user = actor(request)
        miners = Miner.objects.for_user(user)
        ids = parse_ids("miner", request.query_params.getlist("miner"))
        sites = parse_ids("site", request.query_params.getlist("site"))
        if ids:
            self._refuse_unseen("miner", ids, set(miners.filter(pk__in=ids).values_list("pk", flat=True)))
            miners = miners.filter(pk__in=ids)
        if sites:
            seen = Site.objects.for_user(user).filter(pk__in=sites).values_list("pk", flat=True)
            self._refuse_unseen("site", sites, set(seen))
            miners = miners.filter(site__in=sites)
        return self.page_of(request, miners, narrowed=bool(ids or sites))

    def _refuse_unseen(self, name: str, ids: list[int], seen: set[int]) -> None:
        if unseen := [row_id for row_id in ids if row_id not in seen]:
            raise NotFound(f"There is no {name} {', '.join(map(str, unseen))}.")


class MinerTelemetryView(TelemetryRows):
    queryset = Miner.objects.none()  # tells the schema what {id} is

    @extend_schema(
        operation_id="miners_telemetry_list",
        summary="Readings of one machine, newest first",
        description=RANGES,
        parameters=range_parameters(*STEPS_S),
        responses=TelemetrySerializer(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"from", "to", "resolution"})
        miners = Miner.objects.for_user(actor(request)).filter(pk=pk)
        if not miners.exists():
            raise NotFound
        return self.page_of(request, miners, narrowed=True)


class SiteTelemetryView(TelemetryRows):
    queryset = Site.objects.none()
    serializer_class = SiteTelemetrySerializer

    @extend_schema(
        operation_id="sites_telemetry_list",
        summary="A site's machines added up, newest first (staff)",
        description="From the five-minute sums that each sweep writes. A range is at most 366 days.",
        parameters=range_parameters("5m", "1h", "1d"),
        responses=SiteTelemetrySerializer(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"from", "to", "resolution"})
        user = actor(request)
        # A customer may know the site, but not what the whole of it does.
        if not user.is_staff or not Site.objects.for_user(user).filter(pk=pk).exists():
            raise NotFound
        asked = Range.asked(request, ("5m", "1h", "1d"), timezone.now())
        asked.refuse_longer_than(SITE_LIMIT, "")
        before, size = self.pages.read(request)
        found = series.site_rows(pk, asked.span, before=before, limit=size + 1)
        return self.pages.respond(request, found, size, number="site_id", fixed=asked.pinned)
