"""Doors to maintenance tickets: customers read those of their machines, staff open, write and move them."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from hosting import tickets
from hosting.api import rows
from hosting.api.places import WithinReach
from hosting.api.serializers import ROW_ID, TEXT_LENGTH, WriteSerializer
from hosting.api.views import Refused, ResourceView, described
from hosting.models import MaintenanceTicket, Miner
from hosting.states import Fault, TicketStatus
from minefarm.lib.parameters import RowIdFilter

OPEN = ("id", "miner_id", "serial_number", "title", "status", "fault", "rma_number", "rma_vendor")
OPEN_TIMES = ("starts_at", "ends_at", "opened_at", "closed_at")
STAFF = ("assigned_to__email", "opened_by__email", "took_out")
TEXTS = 2000


class TicketSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    miner_id = serializers.IntegerField()
    serial_number = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=TicketStatus.choices)
    fault = serializers.ChoiceField(choices=Fault.choices, help_text="Whose fault it is, as far as known.")
    rma_number = serializers.CharField(allow_null=True)
    rma_vendor = serializers.CharField(allow_null=True)
    starts_at = serializers.DateTimeField(help_text="From when on the machine did not work.")
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Until when; null while it lasts.")
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    assigned_to = serializers.EmailField(allow_null=True, required=False, help_text="Staff only.")
    opened_by = serializers.EmailField(allow_null=True, required=False, help_text="Staff only.")
    took_out = serializers.BooleanField(required=False, help_text="It holds the machine in maintenance; staff only.")


class TicketWriteSerializer(WriteSerializer):
    model = MaintenanceTicket

    miner_id = WithinReach(source="miner", queryset=Miner.objects.all(), pk_field=ROW_ID)
    title = serializers.CharField(max_length=TEXT_LENGTH)
    fault = serializers.ChoiceField(choices=Fault.choices, required=False)
    rma_number = serializers.CharField(max_length=TEXT_LENGTH, allow_null=True, required=False)
    rma_vendor = serializers.CharField(max_length=TEXT_LENGTH, allow_null=True, required=False)
    starts_at = serializers.DateTimeField(required=False, help_text="Default: now.")
    ends_at = serializers.DateTimeField(allow_null=True, required=False)
    note = serializers.CharField(
        max_length=TEXTS, required=False, write_only=True, help_text="A first comment; when adding."
    )
    take_out = serializers.BooleanField(
        required=False, write_only=True, help_text="Put the machine into maintenance; when adding; default true."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and (fixed := sorted({"miner", "note", "take_out"} & set(attrs))):
            names = [{"miner": "miner_id"}.get(name, name) for name in fixed]
            raise serializers.ValidationError(
                dict.fromkeys(names, "Is set when the ticket is opened, and never after.")
            )
        return attrs

    def create(self, validated_data: dict[str, Any]) -> MaintenanceTicket:
        return tickets.open_ticket(
            validated_data["miner"],
            validated_data["title"],
            note=validated_data.get("note", ""),
            fault=Fault(validated_data.get("fault", Fault.UNKNOWN)),
            starts_at=validated_data.get("starts_at"),
            take_out=validated_data.get("take_out", True),
            by=actor(self.context["request"]),
        )


class TicketMoveSerializer(serializers.Serializer[Any]):
    to = serializers.ChoiceField(choices=TicketStatus.choices)
    rma_number = serializers.CharField(max_length=TEXT_LENGTH, required=False)
    rma_vendor = serializers.CharField(max_length=TEXT_LENGTH, required=False)
    bring_back = serializers.BooleanField(
        default=True, help_text="Make the machine active again when the ticket that took it out is resolved."
    )


class CommentSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    text = serializers.CharField(max_length=TEXTS)
    internal = serializers.BooleanField(default=True, help_text="For staff alone.")
    created_at = serializers.DateTimeField(read_only=True)


class TicketFilter(django_filters.FilterSet):
    miner = RowIdFilter(field_name="miner_id", label="Id of the machine.")
    site = RowIdFilter(field_name="miner__site_id", label="Id of the machine's site.")
    status = django_filters.ChoiceFilter(choices=TicketStatus.choices, label="Exactly this status.")
    fault = django_filters.ChoiceFilter(choices=Fault.choices, label="Whose fault.")

    class Meta:
        model = MaintenanceTicket
        fields: list[str] = []


@described("ticket", TicketSerializer, seen="Customers see the tickets of machines that were theirs at the time.")
class TicketView(ResourceView):
    queryset = MaintenanceTicket.objects.all()
    serializer_class = TicketWriteSerializer
    filterset_class = TicketFilter
    http_method_names = ["get", "post", "patch", "head", "options"]

    def get_queryset(self) -> QuerySet[MaintenanceTicket]:
        return MaintenanceTicket.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[MaintenanceTicket]) -> QuerySet[MaintenanceTicket, rows.Flat]:
        columns = (*OPEN, *OPEN_TIMES, *(STAFF if actor(self.request).is_staff else ()))
        flat: QuerySet[MaintenanceTicket, rows.Flat] = queryset.values(*columns)
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        row = {key: flat[key] for key in (*OPEN, *OPEN_TIMES)}
        if actor(self.request).is_staff:
            row |= {key.removesuffix("__email"): flat[key] for key in STAFF}
        return row

    @extend_schema(
        summary="Move a ticket (staff)",
        description="409 with the possible states when it cannot go there from where it is.",
        request=TicketMoveSerializer,
        responses=TicketSerializer,
    )
    @action(detail=True, methods=["post"], serializer_class=TicketMoveSerializer)
    def move(self, request: Request, pk: int) -> Response:
        self.staff_alone(request)
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        to = TicketStatus(wanted.pop("to"))
        try:
            tickets.move_ticket(self.get_object(), to, **wanted, by=actor(request))
        except tickets.IllegalTicketMove as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(self.read(pk))

    @extend_schema(
        methods=["get"],
        summary="Read a ticket's comments",
        description="Customers read what is not internal.",
        responses=CommentSerializer(many=True),
    )
    @extend_schema(
        methods=["post"],
        summary="Write to a ticket (staff)",
        request=CommentSerializer,
        responses={201: CommentSerializer},
    )
    @action(
        detail=True,
        methods=["get", "post"],
        serializer_class=CommentSerializer,
        pagination_class=None,
        filter_backends=(),
    )
    def comments(self, request: Request, pk: int) -> Response:
        ticket = self.get_object()
        if request.method == "GET":
            shown = ticket.comments.all() if actor(request).is_staff else ticket.comments.filter(internal=False)
            found = shown.only("text", "internal", "created_at")
            return Response(CommentSerializer(found, many=True).data)
        self.staff_alone(request)
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        comment = tickets.add_comment(ticket, **asked.validated_data, by=actor(request))
        comment.refresh_from_db()
        return Response(CommentSerializer(comment).data, status.HTTP_201_CREATED)

    def staff_alone(self, request: Request) -> None:
        if not actor(request).may("maintenanceticket:change"):
            raise Http404
