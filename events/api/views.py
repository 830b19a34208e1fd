"""Doors to endpoints and their deliveries: who you are, what you ask, one call, one row or page of rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, cast

from django.core.exceptions import ValidationError as Refused
from django.db import transaction
from django.db.models import F, QuerySet
from django_filters import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from events.api.filters import DeliveryFilter, EndpointFilter
from events.api.serializers import (
    DeliverySerializer,
    EndpointChangeSerializer,
    EndpointCreateSerializer,
    EndpointSerializer,
    NewEndpointSerializer,
    SecretSerializer,
)
from events.guard import fresh_proof
from events.models import EndpointStatus, EventDelivery, EventEndpoint, OutboxStatus
from events.models.endpoints import Person
from events.registration import change_endpoint
from events.sinks import endpoints
from minefarm.lib.paging import NewestIdCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, parse_moment, refuse_unknown_parameters

Flat = dict[str, Any]

ENDPOINT_OPEN = (
    *("id", "kind", "target", "description", "event_types", "status", "status_reason", "failures", "failing_since"),
    *("last_success_at", "previous_secret_until", "created_at", "updated_at"),
)
DELIVERY_OPEN = (
    *("id", "endpoint_id", "status", "attempts", "next_attempt_at", "response_status", "response_excerpt"),
    *("duration_ms", "created_at", "processed_at"),
)
MOVES: dict[str, Callable[..., object]] = {
    EndpointStatus.ENABLED: endpoints.resume,
    EndpointStatus.PAUSED: endpoints.pause,
}


@contextmanager
def refusals_by_field() -> Iterator[None]:
    """What a service refuses, as the API's 400 with the same fields."""
    try:
        yield
    except Refused as error:
        if hasattr(error, "error_dict"):
            said = error.message_dict
            named = {("non_field_errors" if name == "__all__" else name): said[name] for name in said}
            raise ValidationError(named) from None
        raise ValidationError(error.messages) from None


class MayHaveEndpoints(IsAuthenticated):
    """Everybody signed in may look (and sees what is theirs); to register one takes the right to have one."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        return view.action != "create" or bool(request.user.has_perm("events.own_eventendpoint"))


class EndpointsOwnView(viewsets.GenericViewSet[Any]):
    # No docstring: the schema would print it.

    permission_classes = (MayHaveEndpoints,)
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    lookup_value_converter = "int"
    filterset_class: ClassVar[type[FilterSet]]
    known: ClassVar[frozenset[str]] = PAGE_PARAMETERS

    @property
    def person(self) -> Person:
        return cast("Person", self.request.user)

    def values(self, queryset: QuerySet[Any]) -> QuerySet[Any, Flat]:
        raise NotImplementedError

    def row(self, flat: Flat) -> Flat:
        raise NotImplementedError

    def list(self, request: Request) -> Response:
        refuse_unknown_parameters(request, self.known | set(self.filterset_class.base_filters))
        page: list[Flat] = self.paginate_queryset(self.values(self.filter_queryset(self.get_queryset())))  # type: ignore[assignment]  # lists are always paged
        return self.get_paginated_response([self.row(flat) for flat in page])

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.read(pk))

    def read(self, pk: int) -> Flat:
        return self.row(get_object_or_404(self.values(self.get_queryset()), pk=pk))


described = partial(
    extend_schema, description="Everybody has endpoints of their own; staff see all as far as their role allows."
)


@extend_schema_view(
    list=described(responses=EndpointSerializer(many=True), summary="List endpoints"),
    retrieve=described(responses=EndpointSerializer, summary="Read one endpoint"),
)
class EndpointView(EndpointsOwnView):
    queryset = EventEndpoint.objects.all()
    serializer_class = EndpointCreateSerializer
    filterset_class = EndpointFilter

    def get_queryset(self) -> QuerySet[EventEndpoint]:
        return EventEndpoint.objects.for_user(self.person)

    def values(self, queryset: QuerySet[EventEndpoint]) -> QuerySet[EventEndpoint, Flat]:
        flat: QuerySet[EventEndpoint, Flat] = queryset.values(*ENDPOINT_OPEN, "owner_id")
        return flat

    def row(self, flat: Flat) -> Flat:
        if not self.person.is_staff:
            del flat["owner_id"]
        return flat

    def changeable(self, wanted: str) -> EventEndpoint:
        endpoint: EventEndpoint = self.get_object()
        if not endpoint.open_to(self.person, wanted):
            raise PermissionDenied
        return endpoint

    @described(responses={201: NewEndpointSerializer}, summary="Register an endpoint; the answer holds its secret")
    def create(self, request: Request) -> Response:
        serializer = EndpointCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with refusals_by_field():
            added, secret = endpoints.create_endpoint(self.person.pk, **serializer.validated_data, by=self.person.pk)
        location = reverse("api:endpoint-detail", args=[added.pk], request=request)
        answer = {**self.read(added.pk), "secret": secret}
        return Response(answer, status.HTTP_201_CREATED, headers={"Location": location, "Cache-Control": "no-store"})

    @described(
        request=EndpointChangeSerializer, responses=EndpointSerializer, summary="Change, pause or resume an endpoint"
    )
    @transaction.atomic
    def partial_update(self, request: Request, pk: int) -> Response:
        endpoint = self.changeable("change")
        serializer = EndpointChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changes = dict(serializer.validated_data)
        wanted = changes.pop("status", endpoint.status)
        with refusals_by_field():
            if changes:
                change_endpoint(endpoint, **changes)
            if wanted != endpoint.status:
                MOVES[wanted](endpoint, by=self.person.pk)
        return Response(self.read(pk))

    @described(responses={204: None}, summary="Delete an endpoint with its deliveries")
    @transaction.atomic
    def destroy(self, request: Request, pk: int) -> Response:
        endpoints.delete_endpoint(self.changeable("delete"), by=self.person.pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @described(
        request=None,
        responses=SecretSerializer,
        summary="Give the endpoint a new secret; the old one signs on for a while",
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    @fresh_proof
    def rotate_secret(self, request: Request, pk: int) -> Response:
        endpoint = self.changeable("change")
        with refusals_by_field():
            secret = endpoints.rotate_secret(endpoint, by=self.person.pk)
        endpoint.refresh_from_db()
        answer = {"secret": secret, "previous_secret_until": endpoint.previous_secret_until}
        return Response(answer, headers={"Cache-Control": "no-store"})

    @described(request=None, responses={202: DeliverySerializer}, summary="Send a test event to this endpoint")
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: int) -> Response:
        endpoint = self.changeable("change")
        with refusals_by_field():
            delivery = endpoints.send_test(endpoint, by=self.person.pk)
        return sent(delivery, request)


def delivery_values(deliveries: QuerySet[EventDelivery]) -> QuerySet[EventDelivery, Flat]:
    flat: QuerySet[EventDelivery, Flat] = deliveries.values(
        *DELIVERY_OPEN, event_uuid=F("event__event_uuid"), event_type=F("event__event_type"), error=F("last_error")
    )
    return flat


def delivery_row(flat: Flat) -> Flat:
    if flat["status"] != OutboxStatus.PENDING:
        flat["next_attempt_at"] = None
    return flat


def sent(delivery: EventDelivery, request: Request) -> Response:
    """202: it is on its way, and where to ask for the answer."""
    location = reverse("api:delivery-detail", args=[delivery.pk], request=request)
    row = delivery_row(delivery_values(EventDelivery.objects.filter(pk=delivery.pk)).get())
    return Response(row, status.HTTP_202_ACCEPTED, headers={"Location": location})


RANGE = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="Made at this moment or later."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Made before this moment."),
]


@extend_schema_view(
    list=described(responses=DeliverySerializer(many=True), summary="List deliveries, newest first", parameters=RANGE),
    retrieve=described(responses=DeliverySerializer, summary="Read one delivery"),
)
class DeliveryView(EndpointsOwnView):
    queryset = EventDelivery.objects.all()
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    pagination_class = NewestIdCursor
    known = PAGE_PARAMETERS | {"from", "to"}

    def get_queryset(self) -> QuerySet[EventDelivery]:
        return EventDelivery.objects.for_user(self.person)

    def filter_queryset(self, queryset: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        found = super().filter_queryset(queryset)
        for name, bound in (("from", "created_at__gte"), ("to", "created_at__lt")):
            if text := self.request.query_params.get(name):
                found = found.filter(**{bound: parse_moment(name, text)})
        return found

    def values(self, queryset: QuerySet[EventDelivery]) -> QuerySet[EventDelivery, Flat]:
        return delivery_values(queryset)

    def row(self, flat: Flat) -> Flat:
        return delivery_row(flat)

    @described(request=None, responses={202: DeliverySerializer}, summary="Send a finished delivery again")
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: int) -> Response:
        delivery: EventDelivery = self.get_object()
        if not delivery.endpoint.open_to(self.person, "change"):
            raise PermissionDenied
        with refusals_by_field():
            endpoints.redeliver(delivery, by=self.person.pk)
        return sent(delivery, request)
