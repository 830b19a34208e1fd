"""The door to profit: a range, periods, and what to tell apart."""

from datetime import datetime, timedelta
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from analytics.profit import GROUPS, PERIODS, Scope, TooMany, profit
from hosting.models import Miner, Site
from minefarm.lib.parameters import MAX_ROW_ID, parse_moment, refuse_unknown_parameters

KNOWN = frozenset({"from", "to", "per", "by", "site", "miner", "client", "format"})
LONGEST = {
    "hour": timedelta(days=31),
    "day": timedelta(days=366),
    "month": timedelta(days=3660),
    "total": timedelta(days=3660),
}
DEFAULT_RANGE = timedelta(days=1)
MOST_ROWS = 5000


def money(text: str) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=30, decimal_places=8, allow_null=True, help_text=text)


class ProfitSerializer(serializers.Serializer[Any]):
    starts_at = serializers.DateTimeField(
        allow_null=True, help_text="Start of the hour, day or month, by the site's clock."
    )
    site_id = serializers.IntegerField(allow_null=True)
    site = serializers.CharField(allow_null=True)
    client_id = serializers.UUIDField(allow_null=True)
    client = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    miner_id = serializers.IntegerField(allow_null=True)
    miner = serializers.CharField(allow_null=True, help_text="Serial number.")
    ths_h = serializers.FloatField(allow_null=True, help_text="TH/s times hours.")
    kwh = serializers.FloatField(allow_null=True)
    revenue_usd = money("After the pool's fee.")
    cost_usd = money("Electricity.")
    profit_usd = money("Of the counted hours.")
    machine_hours = serializers.IntegerField()
    counted_hours = serializers.IntegerField(help_text="Both sides are known.")
    gap_hours = serializers.IntegerField(help_text="Nothing was read.")
    partial_hours = serializers.IntegerField(help_text="Read in part; figures are of that part.")
    hours_without_hashprice = serializers.IntegerField()
    hours_without_price = serializers.IntegerField(help_text="No price of electricity, or not for the whole hour.")
    hours_in_other_currency = serializers.IntegerField()
    currencies = serializers.ListField(child=serializers.CharField())
    made_up = serializers.BooleanField(help_text="A hashprice of it is a demo's.")
    note = serializers.CharField(help_text="What is not known, in words.")


class ProfitReplySerializer(serializers.Serializer[dict[str, Any]]):
    results = ProfitSerializer(many=True)


class MayProfit(IsAuthenticated):
    # Guests see machines, but not what they earn.
    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, User) and request.user.may("profit:view")


class ProfitView(APIView):
    permission_classes = (MayProfit,)

    @extend_schema(
        operation_id="profit",
        summary="What machines earned and cost, from the energy ledger",
        description=(
            "Sums of machine-hours, oldest first; money in USD with eight decimals, rounded once for each machine and hour. A"
            " customer gets their own hours, those of a machine that they sold since among them. What is not known is null and"
            " counted. A range is at most 31 days per hour, 366 per day, 3660 per month or total, and an answer 5,000 rows."
        ),
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="First moment; by default a day before `to`."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="First moment after the range; by default now."),
            OpenApiParameter("per", str, enum=list(PERIODS), default="total"),
            OpenApiParameter("by", str, description=f"What to tell apart, comma-separated: {', '.join(GROUPS)}."),
            OpenApiParameter("site", int, description="Only this site."),
            OpenApiParameter("miner", int, description="Only this machine."),
            OpenApiParameter("client", OpenApiTypes.UUID, description="Only this customer."),
        ],
        responses=ProfitReplySerializer,
    )
    def get(self, request: Request) -> Response:
        refuse_unknown_parameters(request, KNOWN)
        start, end, per = asked_range(request)
        by = [name for name in request.query_params.get("by", "").split(",") if name]
        if set(by) - set(GROUPS):
            raise ValidationError({"by": f"Choose among {', '.join(GROUPS)}, separated by commas."})
        scope = narrowed(request, actor(request))
        try:
            rows = profit(scope, start, end, per=per, by=by, limit=MOST_ROWS)
        except TooMany as many:
            raise ValidationError({"from": str(many)}) from many
        return Response({"results": ProfitSerializer(rows, many=True).data})


def asked_range(request: Request) -> tuple[datetime, datetime, str]:
    """`from`, `to` and `per`; raises ValidationError (400)."""
    asked = request.query_params
    per = asked.get("per", "total")
    if per not in PERIODS:
        raise ValidationError({"per": f"Choose one of {', '.join(PERIODS)}."})
    end = parse_moment("to", asked["to"]) if "to" in asked else timezone.now()
    start = parse_moment("from", asked["from"]) if "from" in asked else end - DEFAULT_RANGE
    if start >= end:
        raise ValidationError({"from": "The range is empty: `from` must be before `to`."})
    if end - start > LONGEST[per] + timedelta(minutes=61):
        raise ValidationError({"from": f"Per {per} a range is at most {LONGEST[per].days} days. Ask in parts."})
    return start, end, per


def narrowed(request: Request, user: User) -> Scope:
    """The person's scope, cut to what was asked for; raises Http404 for what is not theirs."""
    scope = Scope.of(user)
    site_ids, miner_ids, client_id = scope.site_ids, None, scope.client_id
    if "site" in request.query_params:
        site = row_id(request, "site")
        if not Site.objects.for_user(user).filter(pk=site).exists():
            raise Http404
        site_ids = [site]
    if "miner" in request.query_params:
        miner = row_id(request, "miner")
        if not Miner.objects.for_user(user).filter(pk=miner).exists():
            raise Http404
        miner_ids = [miner]
    if "client" in request.query_params:
        text = request.query_params["client"]
        try:
            asked = serializers.UUIDField().run_validation(text)
        except ValidationError as error:
            raise ValidationError({"client": error.detail}) from error
        if scope.client_id not in {None, asked} or not User.objects.filter(pk=asked, role=Role.CLIENT).exists():
            raise Http404
        client_id = asked
    return Scope(client_id=client_id, site_ids=site_ids, miner_ids=miner_ids)


def row_id(request: Request, name: str) -> int:
    text = request.query_params[name]
    if not (text.isascii() and text.isdecimal() and len(text) < 11 and 0 < int(text) <= MAX_ROW_ID):
        raise ValidationError({name: "Give the row's number."})
    return int(text)
