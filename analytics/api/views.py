"""Doors to the market and its indicators: a range, a resolution, pages by key."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import RolePermissions, actor
from analytics import series
from analytics.api.serializers import IndicatorSerializer, LatestMarketSerializer, MarketSerializer
from analytics.models import BUCKET, MarketSnapshot, TechnicalIndicator
from minefarm.lib.paging import MomentCursor
from minefarm.lib.parameters import LATEST, PAGE_PARAMETERS, parse_moment, refuse_unknown_parameters

STEPS = {"15m": BUCKET, "1h": timedelta(hours=1), "6h": timedelta(hours=6), "1d": timedelta(days=1)}
# A page at 15m reads its own rows only; a coarser one reads the whole range.
LONGEST = {
    "15m": timedelta(days=36_600),
    "1h": timedelta(days=366),
    "6h": timedelta(days=3660),
    "1d": timedelta(days=3660),
}
DEFAULT_RANGE = timedelta(days=1)

PARAMETERS = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="First moment; by default a day before `to`."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="First moment after the range; by default now."),
    OpenApiParameter(
        "resolution", str, enum=list(STEPS), default="15m", description="One row, the last, for each interval."
    ),
]
DESCRIPTION = (
    "A range is at most 366 days at 1h, 3660 days at 6h and 1d; at 15m it is not limited. An interval of which nothing is"
    " known has no row."
)


class MarketRows(GenericAPIView[Any]):
    # What the doors below share. No docstring: the schema would print it.

    permission_classes = (RolePermissions,)
    pagination_class = MomentCursor
    filter_backends = ()

    def page_of(self, request: Request, rows: Any) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"from", "to", "resolution"})
        start, end, resolution = asked_range(request)
        if not isinstance(self.paginator, MomentCursor):
            raise TypeError("the market is paged by MomentCursor")
        key, size = self.paginator.read(request)
        before = key[0] if key else LATEST
        found = rows(start, end, STEPS[resolution], before=before, limit=size + 1)
        pinned = {"from": f"{start:%Y-%m-%dT%H:%M:%S.%fZ}", "to": f"{end:%Y-%m-%dT%H:%M:%S.%fZ}"}
        return self.paginator.respond(request, found, size, number="", fixed=pinned)


def asked_range(request: Request) -> tuple[datetime, datetime, str]:
    """`from`, `to` and `resolution`; raises ValidationError (400)."""
    asked = request.query_params
    resolution = asked.get("resolution", "15m")
    if resolution not in STEPS:
        raise ValidationError({"resolution": f"Choose one of {', '.join(STEPS)}."})
    end = parse_moment("to", asked["to"]) if "to" in asked else timezone.now()
    start = parse_moment("from", asked["from"]) if "from" in asked else end - DEFAULT_RANGE
    if start >= end:
        raise ValidationError({"from": "The range is empty: `from` must be before `to`."})
    if end - start > LONGEST[resolution] + timedelta(minutes=1):
        days = LONGEST[resolution].days
        raise ValidationError({"from": f"At resolution {resolution} a range is at most {days} days. Ask in parts."})
    return start, end, resolution


class MarketView(MarketRows):
    queryset = MarketSnapshot.objects.none()
    serializer_class = MarketSerializer

    @extend_schema(
        operation_id="market_list",
        summary="Price, network and hashprice, newest first",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        responses=MarketSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.page_of(request, series.market_rows)


class LatestMarketView(GenericAPIView[Any]):
    permission_classes = (RolePermissions,)
    queryset = MarketSnapshot.objects.none()
    serializer_class = LatestMarketSerializer
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        operation_id="market_latest",
        summary="The newest snapshot with a price, and whether it is stale",
        responses=LatestMarketSerializer,
    )
    def get(self, request: Request) -> Response:
        refuse_unknown_parameters(request, frozenset({"format"}))
        newest = MarketSnapshot.objects.for_user(actor(request)).newest()
        if newest is None:
            raise NotFound("There is no price yet: none was collected or imported.")
        now = timezone.now()
        until = newest.bucket + BUCKET
        (row,) = series.market_rows(newest.bucket, until, BUCKET, before=LATEST, limit=1)
        age_s = int((now - newest.created_at).total_seconds())
        sources = [{name: value for name, value in one.items() if name != "detail"} for one in newest.sources]
        return Response({**row, "sources": sources, "age_s": age_s, "stale": newest.is_stale(now)})


class IndicatorView(MarketRows):
    queryset = TechnicalIndicator.objects.none()
    serializer_class = IndicatorSerializer

    @extend_schema(
        operation_id="indicators_list",
        summary="RSI, MACD, EMA, Bollinger bands and signals, newest first",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        responses=IndicatorSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.page_of(request, series.indicator_rows)
