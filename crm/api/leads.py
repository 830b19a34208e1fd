"""Doors to leads, for staff; moving and converting are actions of their own."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from crm.api.deals import DEAL, DealSerializer
from crm.api.pipeline import KW, OWNERS, STAFF_ONLY, TEXT, plain
from crm.leads import CannotConvert, IllegalLeadMove, convert_lead, move_lead, save_lead
from crm.models import Deal, Lead
from crm.models.pipeline import LeadRows
from crm.states import LeadStatus
from hosting.api import rows
from hosting.api.serializers import TEXT_LENGTH, WriteSerializer
from hosting.api.views import Refused, ResourceView, described
from minefarm.lib.parameters import TruthFilter

LEAD = (
    *(
        "id",
        "name",
        "email",
        "phone",
        "company",
        "status",
        "source",
        "score",
        "wanted_kw",
        "owner__email",
        "follow_up_at",
    ),
    *("lost_reason", "converted_at", "created_at"),
)
# Converting is an action of its own.
LEAD_TARGETS = [choice for choice in LeadStatus.choices if choice[0] != LeadStatus.CONVERTED]


class LeadSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    company = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=LeadStatus.choices)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # our column has the name of DRF's attribute
    score = serializers.IntegerField(allow_null=True, help_text="0 to 100, by stated rules.")
    wanted_kw = serializers.DecimalField(max_digits=12, decimal_places=3, allow_null=True)
    owner = serializers.EmailField(allow_null=True)
    follow_up_at = serializers.DateTimeField(allow_null=True)
    lost_reason = serializers.CharField(allow_null=True)
    converted_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class LeadWriteSerializer(WriteSerializer):
    model = Lead

    name = serializers.CharField(max_length=TEXT_LENGTH)
    email = serializers.EmailField(**TEXT)
    phone = serializers.CharField(**TEXT)
    company = serializers.CharField(**TEXT)
    source = serializers.CharField(**TEXT)  # type: ignore[assignment]  # likewise
    wanted_kw = serializers.DecimalField(**KW)
    owner = serializers.SlugRelatedField(slug_field="email", queryset=OWNERS, allow_null=True, required=False)
    follow_up_at = serializers.DateTimeField(allow_null=True, required=False)

    def write(self, row: Any, changes: Any) -> Any:
        for name, value in changes.items():
            setattr(row, name, value)
        return save_lead(row, changed=tuple(changes))


class LeadMoveSerializer(serializers.Serializer[Any]):
    to = serializers.ChoiceField(choices=LEAD_TARGETS)
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class ConvertSerializer(serializers.Serializer[Any]):
    client_email = serializers.EmailField(required=False, help_text="Default: the lead's.")
    title = serializers.CharField(max_length=TEXT_LENGTH, required=False, help_text="Default: the company.")


class LeadFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=LeadStatus.choices, label="Exactly this status.")
    source = django_filters.CharFilter(label="Exactly this source.")
    owner = django_filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="E-mail of its owner.")
    overdue = TruthFilter(method="late", label="Open, and to be followed up before now.")

    class Meta:
        model = Lead
        fields: list[str] = []

    def late(self, leads: LeadRows, _name: str, value: bool) -> QuerySet[Lead]:
        return leads.to_follow_up() if value else leads.exclude(pk__in=Lead.objects.to_follow_up())


@described("lead", LeadSerializer, seen=STAFF_ONLY)
class LeadView(ResourceView):
    queryset = Lead.objects.all()
    serializer_class = LeadWriteSerializer
    filterset_class = LeadFilter

    def get_queryset(self) -> QuerySet[Lead]:
        return Lead.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Lead]) -> QuerySet[Lead, rows.Flat]:
        flat: QuerySet[Lead, rows.Flat] = queryset.values(*LEAD)
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return plain(flat)

    @extend_schema(summary="Move a lead (staff)", description="409 when it cannot go there.", responses=LeadSerializer)
    @action(detail=True, methods=["post"], serializer_class=LeadMoveSerializer)
    def move(self, request: Request, pk: int) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            move_lead(
                self.get_object(),
                LeadStatus(asked.validated_data["to"]),
                reason=asked.validated_data["reason"],
                by=actor(request),
            )
        except IllegalLeadMove as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(self.read(pk))

    @extend_schema(
        summary="Make a deal of a lead (staff)",
        description="Once only: 409 with the deal that it is already.",
        responses={201: DealSerializer},
    )
    @action(detail=True, methods=["post"], serializer_class=ConvertSerializer)
    def convert(self, request: Request, pk: int) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            deal = convert_lead(self.get_object(), **asked.validated_data, by=actor(request))
        except CannotConvert as refusal:
            raise serializers.ValidationError({"client_email": str(refusal)}) from refusal
        except IllegalLeadMove as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(plain(Deal.objects.values(*DEAL).get(pk=deal.pk)), status.HTTP_201_CREATED)
