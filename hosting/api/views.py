"""Doors to sites, models and machines: who you are, what you ask, one call, one row or page of rows."""

from functools import partial
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import extend_schema as spectacular_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.access import RolePermissions, actor
from hosting.api import rows
from hosting.api.filters import MinerFilter
from hosting.api.serializers import (
    MinerModelSerializer,
    MinerModelWriteSerializer,
    MinerSerializer,
    MinerWriteSerializer,
    SiteSerializer,
    SiteWriteSerializer,
)
from hosting.models import Miner, MinerModel, Site
from minefarm.lib.parameters import PAGE_PARAMETERS, refuse_unknown_parameters


class ResourceView(viewsets.GenericViewSet[Any]):
    # The role table says who may, `for_user()` which rows. No docstring: the schema would print it.

    permission_classes = (RolePermissions,)
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    lookup_value_converter = "int"
    filterset_class: ClassVar[type[FilterSet] | None] = None

    def values(self, queryset: QuerySet[Any]) -> QuerySet[Any, rows.Flat]:
        raise NotImplementedError

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        raise NotImplementedError

    def list(self, request: Request) -> Response:
        filters = self.filterset_class.base_filters if self.filterset_class else ()
        refuse_unknown_parameters(request, PAGE_PARAMETERS | set(filters))
        page: list[rows.Flat] = self.paginate_queryset(self.values(self.filter_queryset(self.get_queryset())))  # type: ignore[assignment]  # lists are always paged
        return self.get_paginated_response([self.row(flat) for flat in page])

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.read(pk))

    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        added: models.Model = serializer.save()
        location = reverse(f"api:{self.basename}-detail", args=[added.pk], request=request)
        return Response(self.read(added.pk), status.HTTP_201_CREATED, headers={"Location": location})

    def partial_update(self, request: Request, pk: int) -> Response:
        serializer = self.get_serializer(self.get_object(), data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(self.read(pk))

    @transaction.atomic
    def destroy(self, request: Request, pk: int) -> Response:
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    def read(self, pk: int) -> dict[str, Any]:
        return self.row(get_object_or_404(self.values(self.get_queryset()), pk=pk))


def described(name: str, sent: type[serializers.Serializer[Any]], *, seen: str) -> Any:
    """Tell the schema what each method of a resource sends, and who sees what."""
    extend_schema = partial(spectacular_schema, description=seen)
    return extend_schema_view(
        list=extend_schema(responses=sent(many=True), summary=f"List {name}s"),
        retrieve=extend_schema(responses=sent, summary=f"Read one {name}"),
        create=extend_schema(responses={201: sent}, summary=f"Add a {name} (staff)"),
        partial_update=extend_schema(responses=sent, summary=f"Change a {name} (staff)"),
        destroy=extend_schema(responses={204: None}, summary=f"Delete a {name} (administrators)"),
    )


@described("site", SiteSerializer, seen="Customers see the name and place of the sites that hold their machines.")
class SiteView(ResourceView):
    queryset = Site.objects.all()
    serializer_class = SiteWriteSerializer

    def get_queryset(self) -> QuerySet[Site]:
        return Site.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Site]) -> QuerySet[Site, rows.Flat]:
        return rows.site_values(queryset, staff=actor(self.request).is_staff)

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return rows.site_row(flat, staff=actor(self.request).is_staff)


@described("model", MinerModelSerializer, seen="The catalogue of machine models.")
class MinerModelView(ResourceView):
    queryset = MinerModel.objects.all()
    serializer_class = MinerModelWriteSerializer

    def get_queryset(self) -> QuerySet[MinerModel]:
        # A guest without a site sees nothing of the farm.
        return self.queryset.none() if actor(self.request).site_ids == frozenset() else self.queryset.all()

    def values(self, queryset: QuerySet[MinerModel]) -> QuerySet[MinerModel, rows.Flat]:
        return rows.model_values(queryset)

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return flat


@described("miner", MinerSerializer, seen="Customers see their own machines, without addresses and owner.")
class MinerView(ResourceView):
    queryset = Miner.objects.all()
    serializer_class = MinerWriteSerializer
    filterset_class = MinerFilter

    def get_queryset(self) -> QuerySet[Miner]:
        return Miner.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Miner]) -> QuerySet[Miner, rows.Flat]:
        return rows.miner_values(queryset, staff=actor(self.request).is_staff)

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return rows.miner_row(flat, staff=actor(self.request).is_staff)

    def read(self, pk: int) -> dict[str, Any]:
        staff = actor(self.request).is_staff
        flat = get_object_or_404(rows.miner_values(self.get_queryset(), staff=staff, details=True), pk=pk)
        return rows.miner_row(flat, staff=staff) | {"details": rows.details_row(flat)}
