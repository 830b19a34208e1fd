"""Doors to what is done to a whole site: freeze it, or bring everything back."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import actor
from curtailment.api.plans import prove, refusals_answered
from curtailment.api.serializers import FreezeSerializer, FrozenSerializer, ReasonSerializer, RestoredSerializer
from curtailment.overrides import freeze_site, restore_site, unfreeze_site
from hosting.models import Site


class OverrideView(APIView):
    # No docstring: the schema would print it.

    permission_classes = (IsAuthenticated,)

    def site(self, request: Request, pk: int, kind: Any) -> tuple[Site, dict[str, Any]]:
        """The site and the body, for a person who may override there and has just proved who they are."""
        user = actor(request)
        site = get_object_or_404(Site.objects.for_user(user).only("pk", "name"), pk=pk)
        if not user.may_at("curtailment:override", pk):
            raise PermissionDenied
        prove(request)
        sent = kind(data=request.data)
        sent.is_valid(raise_exception=True)
        return site, dict(sent.validated_data)


class FreezeView(OverrideView):
    @extend_schema(
        summary="Freeze a site (administrators, in person)",
        description="No order of a plan leaves for it, neither to stop nor to wake; it ends by itself. 0 minutes end it now.",
        request=FreezeSerializer,
        responses=FrozenSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        site, asked = self.site(request, pk, FreezeSerializer)
        with refusals_answered():
            if asked["minutes"] == 0:
                unfreeze_site(site, reason=asked["reason"], by=actor(request))
                until = None
            else:
                until = freeze_site(site, by=actor(request), **asked)
        return Response({"site_id": pk, "frozen_until": until})


class RestoreSiteView(OverrideView):
    @extend_schema(
        summary="Bring back all that plans stopped at a site (administrators, in person)",
        description="Plans that were approved and did not begin are cancelled.",
        request=ReasonSerializer,
        responses=RestoredSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        site, asked = self.site(request, pk, ReasonSerializer)
        with refusals_answered():
            return Response(restore_site(site, by=actor(request), **asked))
