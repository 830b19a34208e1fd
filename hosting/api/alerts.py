"""Doors to alerts: what is wrong and was, and to take one on."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from hosting.alerts import services
from hosting.alerts.kinds import AlertKind, AlertState, Severity
from hosting.models import Alert
from minefarm.lib.paging import NewestIdCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, RowIdFilter, refuse_unknown_parameters

Flat = dict[str, Any]

ALERT_OPEN = (
    *("id", "kind", "severity", "state", "site_id", "miner_id", "opened_at", "last_seen_at", "resolved_at", "evidence"),
)
ALERT_STAFF = ("rule_id", "machines", "suppressed_by_id", "acknowledged_at", "acknowledged_by_id", "note")


class AlertSerializer(serializers.Serializer[Flat]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=AlertKind.choices)
    severity = serializers.ChoiceField(choices=Severity.choices)
    state = serializers.ChoiceField(choices=AlertState.choices)
    site_id = serializers.IntegerField()
    miner_id = serializers.IntegerField(allow_null=True, help_text="The machine; null for an alert of a whole site.")
    opened_at = serializers.DateTimeField(help_text="Since when it is so.")
    last_seen_at = serializers.DateTimeField(help_text="Last reading that showed it.")
    resolved_at = serializers.DateTimeField(allow_null=True)
    evidence = serializers.CharField(help_text="What was read, for people.")
    rule_id = serializers.IntegerField(required=False, help_text="Staff only.")
    machines = serializers.IntegerField(required=False, help_text="How many are in it now; staff only.")
    suppressed_by_id = serializers.IntegerField(
        required=False, allow_null=True, help_text="The alert of the whole site that tells of it; staff only."
    )
    acknowledged_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Staff only.")
    acknowledged_by_id = serializers.UUIDField(required=False, allow_null=True, help_text="Staff only.")
    note = serializers.CharField(required=False, allow_null=True, help_text="Staff only.")


class AcknowledgeSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(
        required=False, allow_blank=True, max_length=services.NOTE_LENGTH, help_text="For the other people of the farm."
    )


class AlertFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=AlertState.choices, label="Exactly this state.")
    kind = django_filters.ChoiceFilter(choices=AlertKind.choices, label="Exactly this kind.")
    severity = django_filters.ChoiceFilter(choices=Severity.choices, label="Exactly this severity.")
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    miner = RowIdFilter(field_name="miner_id", label="Id of the machine.")

    class Meta:
        model = Alert
        fields: list[str] = []


class AlertIsOver(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "alert_over"


class MayOfAlerts(IsAuthenticated):
    """Reading takes `alert:view`, taking one on `alert:acknowledge`."""

    def has_permission(self, request: Any, view: Any) -> bool:
        wanted = "alert:acknowledge" if view.action == "acknowledge" else "alert:view"
        return super().has_permission(request, view) and bool(request.user.may(wanted))


SEEN = "Customers see the alerts of their own machines, without what staff wrote."


@extend_schema_view(
    list=extend_schema(responses=AlertSerializer(many=True), summary="List alerts, the newest first", description=SEEN),
    retrieve=extend_schema(responses=AlertSerializer, summary="Read one alert", description=SEEN),
)
class AlertView(viewsets.GenericViewSet[Any]):
    # No docstring: the schema would print it.

    queryset = Alert.objects.all()
    serializer_class = AcknowledgeSerializer
    permission_classes = (MayOfAlerts,)
    pagination_class = NewestIdCursor
    filterset_class = AlertFilter
    http_method_names = ["get", "post", "head", "options"]
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Alert]:
        return Alert.objects.for_user(actor(self.request))

    def values(self, alerts: QuerySet[Alert]) -> QuerySet[Alert, Flat]:
        flat: QuerySet[Alert, Flat] = alerts.values(*ALERT_OPEN, *(ALERT_STAFF if actor(self.request).is_staff else ()))
        return flat

    def list(self, request: Request) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | set(AlertFilter.base_filters))
        page: list[Flat] = self.paginate_queryset(self.values(self.filter_queryset(self.get_queryset())))  # type: ignore[assignment]  # lists are always paged
        return self.get_paginated_response(page)

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.read(pk))

    @extend_schema(
        responses=AlertSerializer,
        summary="Take an alert on (staff)",
        description="It stays on the list, marked, until it is over. 409 when it is not open any more.",
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: int) -> Response:
        alert: Alert = self.get_object()
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            services.acknowledge_one(alert, note=serializer.validated_data.get("note", ""), by=actor(request))
        except services.AlertOver as over:
            raise AlertIsOver(str(over)) from None
        return Response(self.read(pk))

    def read(self, pk: int) -> Flat:
        found: Flat = get_object_or_404(self.values(self.get_queryset()), pk=pk)  # type: ignore[type-var,assignment]  # stubs take querysets of models only
        return found
