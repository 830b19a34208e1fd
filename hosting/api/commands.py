"""Doors to commands: order once, watch the batch, read each machine's result."""

from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.access import RolePermissions, actor
from accounts.models import ApiToken
from accounts.stepup import StepUpRequired, has_stepped_up
from hosting.api.serializers import ROW_ID
from hosting.commands import KeyReused, NoMachines, NotAllowed, WrongOrder, order_machines
from hosting.control import Order
from hosting.models import CommandBatch, Miner, MinerCommand, Site
from hosting.models.commands import ORDERS
from hosting.states import CommandStatus
from minefarm.lib.paging import NewestIdCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, refuse_unknown_parameters

MAX_MINERS = 20_000
KEY = "Idempotency-Key"
BATCH = ("id", "order", "watts", "reason", "miners", "created_at", "expires_at", "finished_at", "requested_by__email")
RESULT = (
    "id",
    "miner_id",
    "miner__serial_number",
    "status",
    "detail",
    "attempts",
    "sent_at",
    "accepted_at",
    "finished_at",
)


class KeyTaken(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "key_reused"


class OrderSerializer(serializers.Serializer[Any]):
    order = serializers.ChoiceField(choices=ORDERS)
    watts = serializers.IntegerField(required=False, allow_null=True, help_text="W, for set_power_limit alone.")
    reason = serializers.CharField(max_length=500, help_text="Why, for whoever reads the log later.")
    miners = serializers.ListField(child=ROW_ID, max_length=MAX_MINERS, required=False, help_text="Ids of machines.")
    site = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="Id of a site: all of its machines."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("miners") and not attrs.get("site"):
            raise serializers.ValidationError({"miners": "Name machines, or a site."})
        return attrs


class BatchSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    order = serializers.ChoiceField(choices=ORDERS)
    watts = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
    requested_by = serializers.EmailField(allow_null=True, help_text="Null: from the command line, or MineFarm itself.")
    machines = serializers.IntegerField()
    results = serializers.DictField(child=serializers.IntegerField(), help_text="Machines by status.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="What is not done by then is given up.")
    finished_at = serializers.DateTimeField(allow_null=True, help_text="When the last machine had its result.")


class ResultSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    miner_id = serializers.IntegerField()
    serial_number = serializers.CharField()
    status = serializers.ChoiceField(choices=CommandStatus.choices)
    detail = serializers.CharField(help_text="What happened, or why not.")
    attempts = serializers.IntegerField()
    sent_at = serializers.DateTimeField(allow_null=True)
    accepted_at = serializers.DateTimeField(allow_null=True, help_text="When the machine said yes.")
    finished_at = serializers.DateTimeField(allow_null=True)


SEEN = "Staff; those limited to sites see batches with machines of theirs, and those machines' results."


@extend_schema_view(
    list=extend_schema(summary="List batches of commands, newest first (staff)", responses=BatchSerializer(many=True)),
    retrieve=extend_schema(summary="Read one batch and its progress (staff)", responses=BatchSerializer),
)
@extend_schema(description=SEEN)
class CommandView(viewsets.GenericViewSet[Any]):
    # No docstring: the schema would print it.

    queryset = CommandBatch.objects.all()
    serializer_class: Any = BatchSerializer
    permission_classes = (RolePermissions,)
    pagination_class = NewestIdCursor
    http_method_names = ["get", "post", "head", "options"]
    lookup_value_converter = "int"
    filter_backends = ()

    def get_queryset(self) -> QuerySet[CommandBatch]:
        return CommandBatch.objects.for_user(actor(self.request))

    def rows(self) -> Any:
        return self.get_queryset().with_counts().values(*BATCH, *CommandStatus.values)  # type: ignore[attr-defined]  # our QuerySet method

    def list(self, request: Request) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS)
        return self.get_paginated_response([as_batch(flat) for flat in self.paginate_queryset(self.rows()) or []])

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(as_batch(get_object_or_404(self.rows(), pk=pk)))

    @extend_schema(
        summary="Give machines an order (staff)",
        description=(
            "The order is carried out in the background; read the batch until `finished_at` is set. With the header"
            f" `{KEY}` the same call again gives the same batch (200) and sends nothing twice."
        ),
        parameters=[OpenApiParameter(KEY, OpenApiTypes.STR, OpenApiParameter.HEADER)],
        request=OrderSerializer,
        responses={200: BatchSerializer, 201: BatchSerializer},
    )
    def create(self, request: Request) -> Response:
        """A person proves that it is they; a program's token with the scope write stands for itself."""
        if not isinstance(request.auth, ApiToken) and not has_stepped_up(request):
            raise StepUpRequired
        sent = OrderSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        asked = sent.validated_data
        newest = CommandBatch.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        try:
            batch = order_machines(
                self._chosen(asked),
                Order(asked["order"]),
                watts=asked.get("watts"),
                reason=asked["reason"],
                idempotency_key=request.headers.get(KEY),
                by=actor(request),
            )
        except NotAllowed as refused:
            raise PermissionDenied(str(refused)) from None
        except NoMachines as refused:
            raise ValidationError({"miners": str(refused)}) from None
        except WrongOrder as refused:
            raise ValidationError(str(refused)) from None
        except KeyReused as refused:
            raise KeyTaken(str(refused)) from None
        location = reverse("api:command-detail", args=[batch.pk], request=request)
        code = status.HTTP_201_CREATED if batch.pk > newest else status.HTTP_200_OK
        return Response(as_batch(self.rows().get(pk=batch.pk)), code, headers={"Location": location})

    def _chosen(self, asked: dict[str, Any]) -> QuerySet[Miner]:
        """Raises ValidationError for machines or a site that the person does not reach."""
        user = actor(self.request)
        machines, wanted = Miner.objects.for_user(user), Q()
        if site := asked.get("site"):
            if not Site.objects.for_user(user).filter(pk=site).exists():
                raise ValidationError({"site": f"There is no site {site}."})
            wanted &= Q(site=site)
        if ids := asked.get("miners"):
            found = set(machines.filter(pk__in=ids).values_list("pk", flat=True))
            if missing := [pk for pk in ids if pk not in found]:
                raise ValidationError({"miners": f"There is no machine {', '.join(map(str, missing[:10]))}."})
            wanted &= Q(pk__in=ids)
        return machines.filter(wanted)

    @extend_schema(
        operation_id="miner_commands_results",
        summary="Results of a batch, one row per machine (staff)",
        parameters=[OpenApiParameter("status", str, enum=CommandStatus.values)],
        responses=ResultSerializer(many=True),
    )
    @action(detail=True, url_path="results")
    def results(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"status"})
        batch = get_object_or_404(self.get_queryset(), pk=pk)
        rows = MinerCommand.objects.for_user(actor(request)).filter(batch=batch)
        if wanted := request.query_params.get("status"):
            if wanted not in CommandStatus.values:
                raise ValidationError({"status": f"Use one of {', '.join(CommandStatus.values)}."})
            rows = rows.filter(status=wanted)
        page = self.paginate_queryset(rows.values(*RESULT)) or []
        return self.get_paginated_response([as_result(flat) for flat in page])


def as_batch(flat: dict[str, Any]) -> dict[str, Any]:
    row = {key: flat[key] for key in BATCH if key not in {"miners", "requested_by__email"}}
    results = {status: flat[status] for status in CommandStatus.values}
    return row | {"requested_by": flat["requested_by__email"], "machines": flat["miners"], "results": results}


def as_result(flat: dict[str, Any]) -> dict[str, Any]:
    row = {key: flat[key] for key in RESULT if key != "miner__serial_number"}
    return row | {"serial_number": flat["miner__serial_number"]}
