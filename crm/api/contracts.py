"""Doors to contracts: customers read their own terms, staff agree, change and end them."""

from typing import Any

import django_filters
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from crm.contracts import add_version, create_contract, end_contract
from crm.models import Contract, ContractVersion
from crm.states import Pricing
from hosting.api import rows
from hosting.api.serializers import ROW_ID, TEXT_LENGTH, SiteWithinReach
from hosting.api.views import ResourceView
from hosting.models import Site
from minefarm.lib.parameters import RowIdFilter

OPEN = ("id", "number", "client_id", "site_id", "starts_on", "ends_on")
STAFF = ("deal_id", "created_at")
TERMS = (
    *(
        "currency",
        "pricing",
        "rate_per_kwh",
        "flat_per_miner",
        "revenue_share_pct",
        "rated_power_uplift_pct",
        "minimum_kw",
    ),
    *("minimum_per_month", "deposit", "setup_fee", "uptime_guarantee_pct", "sla_credit_cap_pct", "curtailment_excused"),
    *("curtailment_share_pct", "tax_pct", "due_days", "late_fee", "terms"),
)
# A customer whose machines are all gone knows the contract, and the site no more.
SITE_NAME = Subquery(Site.objects.filter(pk=OuterRef("site_id")).values("name")[:1])
PLAIN = {"currency", "pricing", "curtailment_excused", "due_days", "terms"}
LONGEST_TERMS = 5000


def price(places: int = 2, **how: Any) -> Any:
    """Amounts are text: a JSON number is read as binary by most programs."""
    return serializers.DecimalField(
        max_digits=12, decimal_places=places, min_value=0, coerce_to_string=True, required=False, allow_null=True, **how
    )


def percent(*, nullable: bool = False, **how: Any) -> Any:
    return serializers.DecimalField(
        *(6, 3), min_value=0, max_value=100, coerce_to_string=True, required=False, allow_null=nullable, **how
    )


class TermsSerializer(serializers.Serializer[Any]):
    currency = serializers.CharField(max_length=3, required=False, help_text="Default USD.")
    pricing = serializers.ChoiceField(choices=Pricing.choices)
    rate_per_kwh = price(6, help_text="Metered and nameplate: the price. Pass-through: the margin.")
    flat_per_miner = price(help_text="Per machine and month.")
    revenue_share_pct = percent(nullable=True)
    rated_power_uplift_pct = percent(help_text="On top of the measured or rated power.")
    minimum_kw = price(3, help_text="Take or pay, kW.")
    minimum_per_month = price()
    deposit = price()
    setup_fee = price()
    uptime_guarantee_pct = percent(nullable=True)
    sla_credit_cap_pct = percent(help_text="Most uptime credit, % of the hosting fee.")
    curtailment_excused = serializers.BooleanField(required=False)
    curtailment_share_pct = percent(help_text="The customer's share of curtailment savings.")
    tax_pct = percent()
    due_days = serializers.IntegerField(min_value=0, max_value=365, required=False)
    late_fee = price()
    terms = serializers.CharField(
        max_length=LONGEST_TERMS, required=False, allow_blank=True, help_text="Printed on invoices."
    )


class VersionSerializer(TermsSerializer):
    id = serializers.IntegerField(read_only=True)
    valid_from = serializers.DateField(help_text="They hold from this day until the next version.")


class ContractSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.CharField()
    client_id = serializers.UUIDField()
    site_id = serializers.IntegerField()
    site = serializers.CharField(allow_null=True)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(allow_null=True, help_text="First day after; null: until further notice.")
    deal_id = serializers.IntegerField(allow_null=True, required=False, help_text="Staff only.")
    created_at = serializers.DateTimeField(required=False, help_text="Staff only.")


class ContractWithVersionsSerializer(ContractSerializer):
    versions = VersionSerializer(many=True, help_text="Oldest first.")


class ContractWriteSerializer(serializers.Serializer[Any]):
    number = serializers.CharField(max_length=TEXT_LENGTH)
    client_id = serializers.PrimaryKeyRelatedField(
        source="client", queryset=User.objects.filter(role=Role.CLIENT), pk_field=serializers.UUIDField()
    )
    site_id = SiteWithinReach(source="site", queryset=Site.objects.all(), pk_field=ROW_ID)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(required=False, allow_null=True)
    terms = TermsSerializer(help_text="They hold from the first day.")

    def create(self, validated_data: dict[str, Any]) -> Contract:
        terms = dict(validated_data.pop("terms"))
        made: Contract = told(lambda: create_contract(**validated_data, terms=terms, by=actor(self.context["request"])))
        return made


class EndSerializer(serializers.Serializer[Any]):
    ends_on = serializers.DateField(allow_null=True, help_text="First day after; null: until further notice.")


class ContractFilter(django_filters.FilterSet):
    client = django_filters.UUIDFilter(field_name="client_id", label="Id of the client; staff only.")
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    number = django_filters.CharFilter(field_name="number", label="Exactly this number.")

    class Meta:
        model = Contract
        fields: list[str] = []


def told(work: Any) -> Any:
    """The same with refusals in the API's words."""
    try:
        return work()
    except ModelValidationError as refused:
        said = refused.message_dict if hasattr(refused, "error_dict") else {"non_field_errors": refused.messages}
        raise serializers.ValidationError(said) from refused


def as_text(version: dict[str, Any]) -> dict[str, Any]:
    return version | {name: str(version[name]) for name in TERMS if name not in PLAIN and version[name] is not None}


@extend_schema(description="Customers see their own contracts. Amounts are text.")
class ContractView(ResourceView):
    queryset = Contract.objects.all()
    serializer_class: Any = ContractWriteSerializer
    filterset_class = ContractFilter
    http_method_names = ["get", "post", "head", "options"]

    def get_queryset(self) -> QuerySet[Contract]:
        return Contract.objects.for_user(actor(self.request)).order_by("id")

    def values(self, queryset: QuerySet[Contract]) -> QuerySet[Contract, rows.Flat]:
        flat: QuerySet[Contract, rows.Flat] = queryset.values(
            *OPEN, *(STAFF if actor(self.request).is_staff else ()), site_name=SITE_NAME
        )
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        row = dict(flat)
        row["site"] = row.pop("site_name")
        return row

    def read(self, pk: int) -> dict[str, Any]:
        row = super().read(pk)
        versions = ContractVersion.objects.filter(contract=row["id"]).order_by("valid_from")
        return row | {"versions": [as_text(version) for version in versions.values("id", "valid_from", *TERMS)]}

    @extend_schema(summary="List contracts", responses=ContractSerializer(many=True))
    def list(self, request: Request) -> Response:
        return super().list(request)

    @extend_schema(summary="Read one contract with its terms", responses=ContractWithVersionsSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        return super().retrieve(request, pk)

    @extend_schema(
        summary="Add a contract with its first terms (staff)", responses={201: ContractWithVersionsSerializer}
    )
    def create(self, request: Request) -> Response:
        return super().create(request)

    @extend_schema(
        summary="Add terms from a day on (staff)",
        description="Terms that were billed are never changed: they end where the next begin.",
        request=VersionSerializer,
        responses={201: ContractWithVersionsSerializer},
    )
    @action(detail=True, methods=["post"], serializer_class=VersionSerializer)
    def versions(self, request: Request, pk: int) -> Response:
        contract, asked = self.chosen(request)
        told(lambda: add_version(contract, by=actor(request), **asked))
        return Response(self.read(pk), status.HTTP_201_CREATED)

    @extend_schema(
        summary="Let a contract end, or go on (staff)", request=EndSerializer, responses=ContractWithVersionsSerializer
    )
    @action(detail=True, methods=["post"], serializer_class=EndSerializer)
    def end(self, request: Request, pk: int) -> Response:
        contract, asked = self.chosen(request)
        told(lambda: end_contract(contract, asked["ends_on"], by=actor(request)))
        return Response(self.read(pk))

    def chosen(self, request: Request) -> tuple[Contract, dict[str, Any]]:
        """The contract and what was sent, for those who may change contracts; 404 for others."""
        if not actor(request).may("contract:change"):
            raise Http404
        contract: Contract = self.get_object()
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return contract, dict(sent.validated_data)
