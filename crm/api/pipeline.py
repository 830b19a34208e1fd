"""Doors to leads, deals and activities, for staff; moving and converting are actions of their own."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.models import User
from accounts.roles import STAFF_ROLES, Role
from crm import timeline
from crm.deals import DealRefused, move_deal
from crm.leads import CannotConvert, IllegalLeadMove, convert_lead, move_lead, save_lead
from crm.models import Activity, Deal, DealStageChange, Lead
from crm.models.pipeline import LeadRows
from crm.states import ActivityKind, DealStage, LeadStatus
from hosting.api import rows
from hosting.api.places import WithinReach
from hosting.api.serializers import ROW_ID, TEXT_LENGTH, WriteSerializer
from hosting.api.views import Refused, ResourceView, described
from hosting.models import Site
from minefarm.lib.parameters import RowIdFilter, TruthFilter

TEXTS = 5000
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
ACTIVITY = (
    *(
        "id",
        "lead_id",
        "deal_id",
        "kind",
        "subject",
        "body",
        "due_date",
        "done_at",
        "author__email",
        "assigned_to__email",
    ),
    "happened_at",
)
# Converting is an action of its own.
LEAD_TARGETS = [choice for choice in LeadStatus.choices if choice[0] != LeadStatus.CONVERTED]
STAFF_ONLY = "Staff alone; customers know nothing of the pipeline."
KW: dict[str, Any] = {"max_digits": 12, "decimal_places": 3, "min_value": 0, "allow_null": True, "required": False}
USD: dict[str, Any] = {"max_digits": 12, "decimal_places": 2, "min_value": 0, "allow_null": True, "required": False}
TEXT: dict[str, Any] = {"max_length": TEXT_LENGTH, "allow_null": True, "required": False}


def plain(flat: rows.Flat) -> dict[str, Any]:
    return {key.removesuffix("__email"): value for key, value in flat.items()}


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
    owner = serializers.SlugRelatedField(
        slug_field="email", queryset=User.objects.filter(role__in=STAFF_ROLES), allow_null=True, required=False
    )
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
    owner = serializers.SlugRelatedField(
        slug_field="email", queryset=User.objects.filter(role__in=STAFF_ROLES), allow_null=True, required=False
    )

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


class ActivitySerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    lead_id = serializers.IntegerField(allow_null=True)
    deal_id = serializers.IntegerField(allow_null=True)
    kind = serializers.ChoiceField(choices=ActivityKind.choices)
    subject = serializers.CharField()
    body = serializers.CharField()
    due_date = serializers.DateField(allow_null=True)
    done_at = serializers.DateTimeField(allow_null=True)
    author = serializers.EmailField(allow_null=True)
    assigned_to = serializers.EmailField(allow_null=True)
    happened_at = serializers.DateTimeField()


class ActivityWriteSerializer(serializers.Serializer[Any]):
    lead_id = WithinReach(source="lead", queryset=Lead.objects.all(), pk_field=ROW_ID, required=False)
    deal_id = WithinReach(source="deal", queryset=Deal.objects.all(), pk_field=ROW_ID, required=False)
    kind = serializers.ChoiceField(choices=ActivityKind.choices)
    subject = serializers.CharField(max_length=TEXT_LENGTH)
    body = serializers.CharField(max_length=TEXTS, required=False, default="", allow_blank=True)
    due_date = serializers.DateField(required=False, allow_null=True, help_text="Of a task.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("lead") and not attrs.get("deal"):
            raise serializers.ValidationError({"deal_id": "Name the lead or the deal that it is about."})
        if attrs.get("due_date") and attrs["kind"] != ActivityKind.TASK:
            raise serializers.ValidationError({"due_date": "Only a task has a day on which it is due."})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Activity:
        return timeline.add_activity(**validated_data, by=actor(self.context["request"]))


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


class DealFilter(django_filters.FilterSet):
    stage = django_filters.ChoiceFilter(choices=DealStage.choices, label="Exactly this stage.")
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    owner = django_filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="E-mail of its owner.")

    class Meta:
        model = Deal
        fields: list[str] = []


class ActivityFilter(django_filters.FilterSet):
    lead = RowIdFilter(field_name="lead_id", label="Id of the lead.")
    deal = RowIdFilter(field_name="deal_id", label="Id of the deal.")
    kind = django_filters.ChoiceFilter(choices=ActivityKind.choices, label="Exactly this kind.")
    open = TruthFilter(method="to_do", label="Tasks that are not done.")

    class Meta:
        model = Activity
        fields: list[str] = []

    def to_do(self, activities: QuerySet[Activity], _name: str, value: bool) -> QuerySet[Activity]:
        open_ones = Q(kind=ActivityKind.TASK, done_at__isnull=True)
        return activities.filter(open_ones if value else ~open_ones)


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


@described("activity", ActivitySerializer, seen=STAFF_ONLY)
class ActivityView(ResourceView):
    queryset = Activity.objects.all()
    serializer_class = ActivityWriteSerializer
    filterset_class = ActivityFilter
    http_method_names = ["get", "post", "head", "options"]

    def get_queryset(self) -> QuerySet[Activity]:
        return Activity.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Activity]) -> QuerySet[Activity, rows.Flat]:
        flat: QuerySet[Activity, rows.Flat] = queryset.values(*ACTIVITY)
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return plain(flat)
