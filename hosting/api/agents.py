"""The doors of a site's agent. A site token opens these and nothing else; nobody else's token or session opens them."""

from typing import Any, cast

from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError
from django.utils.decorators import method_decorator
from django.views.decorators.gzip import gzip_page
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.throttles import Allowance, CallerThrottle
from events.locks import LockBusy
from events.models import LockLost
from hosting.edge.ingest import take_batch
from hosting.edge.targets import entity_tag, targets_of
from hosting.edge.tokens import TokenRefused, token_for
from hosting.edge.wire import MEDIA_TYPE, MOST_PACKED, TIME_HEADER, Malformed, TooMuch, unpack_lines
from hosting.models import SiteToken
from minefarm.lib.clock import database_now
from minefarm.lib.network import client_address, network_of

AWAY = (OperationalError, InterfaceError)
AWAY_RETRY_S = 10
BUSY_RETRY_S = 3


class SiteTokenAuthentication(BaseAuthentication):
    """`Authorization: Agent mfa_…`: its own scheme, so that no look-up of people's tokens ever sees the secret."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, SiteToken] | None:
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "agent":
            return None
        address = client_address(request._request)  # noqa: SLF001  Django's request, for its address
        failures = Allowance("failed_token", f"agent:{network_of(address)}")
        if failures.is_spent():
            raise exceptions.Throttled(failures.left_s, "Too many tokens were wrong.")
        try:
            return AnonymousUser(), token_for(secret.strip(), address)
        except TokenRefused as refused:
            failures.take()
            raise exceptions.AuthenticationFailed(str(refused)) from None

    def authenticate_header(self, request: Request) -> str:
        return 'Agent realm="MineFarm sites"'


class SiteTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "hosting.api.agents.SiteTokenAuthentication"
    name = "site token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Agent mfa_...`, made in Admin, Site tokens.",
        }


class IsAgent(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, SiteToken)


class AgentThrottle(CallerThrottle):
    def _allowance(self, request: Request) -> Allowance:
        if isinstance(request.auth, SiteToken):
            return Allowance("agent", request.auth.pk)
        return super()._allowance(request)


class Away(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "away"
    default_detail = "The farm cannot store this now. Keep it and send it again."

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait = wait_s  # the API's error handler makes Retry-After of it


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class BatchParser(BaseParser):
    """The bytes as they came, never more than a batch may have."""

    media_type = MEDIA_TYPE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> list[bytes]:  # type: ignore[override]  # no form
        request = (parser_context or {})["request"]
        if request.META.get("HTTP_CONTENT_ENCODING", "").lower() != "gzip":
            raise exceptions.UnsupportedMediaType("", "Send the batch with Content-Encoding: gzip.")
        try:
            return list(unpack_lines(stream.read(MOST_PACKED + 1)))
        except TooMuch as error:
            raise TooLarge(f"Too large: {error}. Send fewer minutes.") from None
        except Malformed as error:
            raise exceptions.ParseError(f"Not a batch: {error}.") from None


class AgentView(APIView):
    """What both doors share. No docstring of theirs: the schema would print it."""

    authentication_classes = (SiteTokenAuthentication,)
    permission_classes = (IsAgent,)
    throttle_classes = (AgentThrottle,)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, AWAY):
            exc = Away(AWAY_RETRY_S)
        elif isinstance(exc, LockBusy | LockLost):
            exc = Away(BUSY_RETRY_S)
        return super().handle_exception(exc)

    def token(self) -> SiteToken:
        assert isinstance(self.request.auth, SiteToken)  # noqa: S101  IsAgent has seen to it
        return self.request.auth


TARGETS = inline_serializer(
    "AgentTargets",
    {
        "site": inline_serializer("AgentSite", {"id": serializers.IntegerField(), "name": serializers.CharField()}),
        "collector": serializers.ChoiceField(
            choices=["farm", "queue", "agent"], help_text="Unless it is agent, somebody else reads the site."
        ),
        "miners": serializers.ListField(child=serializers.DictField()),
    },
)


class TargetsView(AgentView):
    @extend_schema(
        operation_id="agent_targets",
        summary="Which machines of the site are to be read (site token only)",
        description="With an ETag: `If-None-Match` is answered by 304 while nothing has changed. The header `MineFarm-Time` is"
        " the database's clock, whose minutes count.",
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={200: TARGETS, 304: None},
    )
    @method_decorator(gzip_page)
    def get(self, request: Request) -> Response:
        document = targets_of(self.token().site)
        tag = entity_tag(document)
        headers = {"ETag": tag, TIME_HEADER: database_now().isoformat(), "Cache-Control": "no-store"}
        if request.headers.get("If-None-Match") == tag:
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(document, headers=headers)


MINUTES = inline_serializer(
    "AgentAnswer",
    {
        "minutes": serializers.ListField(
            child=inline_serializer(
                "AgentMinute",
                {
                    "minute": serializers.CharField(),
                    "stored": serializers.IntegerField(help_text="Readings of this minute that the history has now."),
                    "refused": serializers.CharField(
                        allow_null=True, help_text="Why none of it was taken; sending it again does not help."
                    ),
                    "foreign": serializers.DictField(
                        required=False, help_text="Machines that are not the site's: count, miner_ids, reason."
                    ),
                },
            )
        )
    },
)


class ReadingsView(AgentView):
    parser_classes = (BatchParser,)

    @extend_schema(
        operation_id="agent_readings",
        summary="Report one or more minutes of the site (site token only)",
        description="Lines of JSON, gzip. A minute may come again, in whole or in part: what is stored is neither doubled nor"
        " changed. 503 with Retry-After: keep the batch. docs/reference/api.md describes the lines.",
        request={(MEDIA_TYPE): {"type": "string", "format": "binary"}},
        responses={200: MINUTES},
    )
    def post(self, request: Request) -> Response:
        outcomes = take_batch(self.token().site, cast("list[bytes]", request.data))
        return Response(
            {"minutes": [outcome.document() for outcome in outcomes]},
            headers={TIME_HEADER: database_now().isoformat()},
        )
