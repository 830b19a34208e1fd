"""Doors to what was done about leads and deals, for staff."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from rest_framework import serializers

from accounts.access import actor
from crm import timeline
from crm.api.pipeline import STAFF_ONLY, plain
from crm.models import Activity, Deal, Lead
from crm.states import ActivityKind
from hosting.api import rows
from hosting.api.places import WithinReach
from hosting.api.serializers import ROW_ID, TEXT_LENGTH
from hosting.api.views import ResourceView, described
from minefarm.lib.parameters import RowIdFilter, TruthFilter

TEXTS = 5000
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
