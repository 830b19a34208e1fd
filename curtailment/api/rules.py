"""Doors to curtailment rules: staff read them; arming is for signed-in people alone, disarming for tokens, too."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.api.authentication import NEVER
from accounts.stepup import step_up_required
from curtailment import arming
from curtailment.models import CurtailmentRule, RuleKind
from curtailment.refusals import NotAllowed
from minefarm.lib.paging import NewestIdCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, RowIdFilter, TruthFilter, refuse_unknown_parameters

OPEN = (
    *("id", "site_id", "name", "kind", "priority", "strategy", "target_mw", "share_percent", "settings", "source_id"),
    *("min_on_minutes", "min_off_minutes", "cool_down_minutes", "max_minutes", "version", "content_hash"),
    *("armed", "armed_at", "tried_hash", "tried_at", "active_since", "last_evaluated_at", "last_result"),
)


class RuleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    site_id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=RuleKind.choices)
    priority = serializers.CharField()
    strategy = serializers.CharField()
    target_mw = serializers.FloatField(allow_null=True)
    share_percent = serializers.FloatField(allow_null=True)
    settings = serializers.DictField(help_text="By kind; docs/how-to/curtailment-triggers.md.")
    source_id = serializers.UUIDField(allow_null=True)
    min_on_minutes = serializers.IntegerField()
    min_off_minutes = serializers.IntegerField()
    cool_down_minutes = serializers.IntegerField()
    max_minutes = serializers.IntegerField()
    version = serializers.IntegerField()
    content_hash = serializers.CharField(help_text="What the rule does, as one hash: arming names it.")
    armed = serializers.BooleanField()
    armed_at = serializers.DateTimeField(allow_null=True)
    tried_hash = serializers.CharField(help_text="Content of the last dry run that was shown.")
    tried_at = serializers.DateTimeField(allow_null=True)
    active_since = serializers.DateTimeField(allow_null=True, help_text="Since when it holds machines.")
    last_evaluated_at = serializers.DateTimeField(allow_null=True)
    last_result = serializers.CharField(help_text="What the last evaluation came to, for people.")


class ArmSerializer(serializers.Serializer[Any]):
    content_hash = serializers.CharField(max_length=64, help_text="Of the rule as you saw it.")


class DisarmSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=300, required=False, default="")


class RuleFilter(django_filters.FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    kind = django_filters.ChoiceFilter(choices=RuleKind.choices, label="Exactly this kind.")
    armed = TruthFilter(field_name="armed", label="Armed or not.")

    class Meta:
        model = CurtailmentRule
        fields: list[str] = []


class CannotArm(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "cannot_arm"


class MayOfRules(IsAuthenticated):
    """Staff read; arming takes `curtailment:approve`, disarming `curtailment:stop`."""

    def has_permission(self, request: Any, view: Any) -> bool:
        wanted = {"arm": "curtailment:approve", "disarm": "curtailment:stop"}.get(view.action, "curtailment:view")
        return super().has_permission(request, view) and request.user.is_staff and bool(request.user.may(wanted))


@extend_schema_view(
    list=extend_schema(responses=RuleSerializer(many=True), summary="List curtailment rules (staff)"),
    retrieve=extend_schema(responses=RuleSerializer, summary="Read one curtailment rule (staff)"),
)
class RuleView(viewsets.GenericViewSet[Any]):
    # No docstring: the schema would print it.

    queryset = CurtailmentRule.objects.all()
    serializer_class = DisarmSerializer
    permission_classes = (MayOfRules,)
    pagination_class = NewestIdCursor
    filterset_class = RuleFilter
    http_method_names = ["get", "post", "head", "options"]
    lookup_value_converter = "int"

    @property
    def token_scopes(self) -> dict[str, str]:
        return {"POST": NEVER} if self.action == "arm" else {}

    def get_queryset(self) -> QuerySet[CurtailmentRule]:
        return CurtailmentRule.objects.for_user(actor(self.request))

    def list(self, request: Request) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | set(RuleFilter.base_filters))
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()).values(*OPEN))
        return self.get_paginated_response(page)

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.read(pk))

    @extend_schema(
        request=ArmSerializer,
        responses=RuleSerializer,
        summary="Arm a rule (administrators, signed in)",
        description="By somebody else than who last edited it, and after a dry run of the same content; 409 otherwise."
        " No token may arm.",
    )
    @action(detail=True, methods=["post"], serializer_class=ArmSerializer)
    @step_up_required
    def arm(self, request: Request, pk: int) -> Response:
        rule: CurtailmentRule = self.get_object()
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            arming.arm(rule, content_hash=asked.validated_data["content_hash"], by=actor(request))
        except arming.CannotArm as refused:
            raise CannotArm(str(refused)) from None
        except NotAllowed as refused:
            raise PermissionDenied(str(refused)) from None
        return Response(self.read(pk))

    @extend_schema(
        request=DisarmSerializer,
        responses=RuleSerializer,
        summary="Disarm a rule and bring back its machines (staff)",
    )
    @action(detail=True, methods=["post"])
    def disarm(self, request: Request, pk: int) -> Response:
        rule: CurtailmentRule = self.get_object()
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        arming.disarm(rule, why=asked.validated_data["reason"], by=actor(request))
        return Response(self.read(pk))

    def read(self, pk: int) -> Any:
        return get_object_or_404(self.get_queryset().values(*OPEN), pk=pk)
