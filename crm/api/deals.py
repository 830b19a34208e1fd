"""Doors to deals, for staff; moving is an action of its own."""

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from crm.api.pipeline import KW, OWNERS, STAFF_ONLY, USD, plain
from crm.deals import DealRefused, move_deal
from crm.models import Deal, DealStageChange
from crm.states import OPEN_STAGES, DealStage
from hosting.api import rows
from hosting.api.places import WithinReach
from hosting.api.serializers import ROW_ID, TEXT_LENGTH, WriteSerializer
from hosting.api.views import Refused, ResourceView, described
from hosting.models import Site
from minefarm.lib.parameters import RowIdFilter

DEAL = (
    *(
        "id",
        "title",
        "lead_id",
        "client__email",
        "value",
        "stage",
        "probability",
        "expected_close_date",
        "site_id",
        "miners",
    ),
    *("power_kw", "price_per_kwh", "term_months", "target_date", "owner__email", "stage_since", "lost_reason"),
    *("created_at", "closed_at"),
)


class DealSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    title = serializers.CharField()
    lead_id = serializers.IntegerField(allow_null=True)
    client = serializers.EmailField(allow_null=True)
    value = serializers.DecimalField(max_digits=12, decimal_places=2, allow_null=True, help_text="USD.")
    stage = serializers.ChoiceField(choices=DealStage.choices)
    probability = serializers.IntegerField(help_text="Per cent.")
    expected_close_date = serializers.DateField(allow_null=True)
    site_id = serializers.IntegerField(allow_null=True)
    miners = serializers.IntegerField(allow_null=True)
    power_kw = serializers.DecimalField(max_digits=12, decimal_places=3, allow_null=True)
    price_per_kwh = serializers.DecimalField(max_digits=12, decimal_places=6, allow_null=True)
    term_months = serializers.IntegerField(allow_null=True)
    target_date = serializers.DateField(allow_null=True)
    owner = serializers.EmailField(allow_null=True)
    stage_since = serializers.DateTimeField()
    lost_reason = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class DealWriteSerializer(WriteSerializer):
    model = Deal

    title = serializers.CharField(max_length=TEXT_LENGTH)
    client = serializers.SlugRelatedField(
        slug_field="email", queryset=User.objects.filter(role=Role.CLIENT), allow_null=True, required=False
    )
    value = serializers.DecimalField(**USD)
    probability = serializers.IntegerField(min_value=0, max_value=100, required=False)
    expected_close_date = serializers.DateField(allow_null=True, required=False)
    site_id = WithinReach(source="site", queryset=Site.objects.all(), pk_field=ROW_ID, allow_null=True, required=False)
    miners = serializers.IntegerField(min_value=0, max_value=10**6, allow_null=True, required=False)
    power_kw = serializers.DecimalField(**KW)
    price_per_kwh = serializers.DecimalField(
        max_digits=12, decimal_places=6, min_value=0, allow_null=True, required=False
    )
    term_months = serializers.IntegerField(min_value=0, max_value=600, allow_null=True, required=False)
    target_date = serializers.DateField(allow_null=True, required=False)
    owner = serializers.SlugRelatedField(slug_field="email", queryset=OWNERS, allow_null=True, required=False)

    def write(self, row: Any, changes: Any) -> Any:
        if row.stage not in OPEN_STAGES and changes.get("probability", row.probability) != row.probability:
            raise serializers.ValidationError({"probability": "It is won or lost: move it to an open stage first."})
        return super().write(row, changes)

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Any:
        deal: Any = super().create(validated_data)
        DealStageChange.objects.create(deal=deal, to_stage=DealStage.DISCOVERY, by=actor(self.context["request"]))
        return deal


class DealMoveSerializer(serializers.Serializer[Any]):
    to = serializers.ChoiceField(choices=DealStage.choices)
    seen = serializers.ChoiceField(
        choices=DealStage.choices, required=False, help_text="The stage that you saw it in; 409 when it has moved."
    )
    reason = serializers.CharField(
        max_length=500, required=False, default="", allow_blank=True, help_text="If it is lost."
    )
    probability = serializers.IntegerField(min_value=0, max_value=100, required=False)
    despite_capacity = serializers.BooleanField(default=False, help_text="Win it although the site has no room.")


class DealFilter(django_filters.FilterSet):
    stage = django_filters.ChoiceFilter(choices=DealStage.choices, label="Exactly this stage.")
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    owner = django_filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="E-mail of its owner.")

    class Meta:
        model = Deal
        fields: list[str] = []


@described("deal", DealSerializer, seen=STAFF_ONLY)
class DealView(ResourceView):
    queryset = Deal.objects.all()
    serializer_class = DealWriteSerializer
    filterset_class = DealFilter

    def get_queryset(self) -> QuerySet[Deal]:
        return Deal.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Deal]) -> QuerySet[Deal, rows.Flat]:
        flat: QuerySet[Deal, rows.Flat] = queryset.values(*DEAL)
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return plain(flat)

    @extend_schema(
        summary="Move a deal (staff)",
        description="409 when somebody moved it meanwhile, it is lost without a reason, or the site has no room.",
        responses=DealSerializer,
    )
    @action(detail=True, methods=["post"], serializer_class=DealMoveSerializer)
    def move(self, request: Request, pk: int) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        try:
            move_deal(self.get_object(), DealStage(wanted.pop("to")), **wanted, by=actor(request))
        except DealRefused as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(self.read(pk))
