"""The API's door for signals. A source's token opens it and nothing else; nobody else's token or session opens it."""

from typing import Any

import orjson
from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.throttles import Allowance, CallerThrottle
from curtailment.models import SignalSource
from curtailment.signalling import MOST_BYTES, BadSignal, IdReused, digest_of, take, understood
from curtailment.sources import source_of
from curtailment.triggers.signals import Kind
from minefarm.lib.clock import database_now
from minefarm.lib.network import client_address, network_of


class SourceAuthentication(BaseAuthentication):
    """`Authorization: Signal mfs_…`: its own scheme, so that no look-up of people's tokens ever sees the secret."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, SignalSource] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "signal":
            return None
        address = client_address(request._request)  # noqa: SLF001  Django's request, for its address
        failures = Allowance("failed_token", f"signal:{network_of(address)}")
        if failures.is_spent():
            raise exceptions.Throttled(failures.left_s, "Too many tokens were wrong.")
        source = source_of(token.strip())
        if source is None:
            failures.take()
            raise exceptions.AuthenticationFailed("This token is no source's: ask the farm for a new one.")
        return AnonymousUser(), source

    def authenticate_header(self, request: Request) -> str:
        return 'Signal realm="MineFarm signals"'


class SourceScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "curtailment.api.signals.SourceAuthentication"
    name = "signalToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Signal mfs_...`, made at /curtailment/rules/.",
        }


class IsSource(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, SignalSource)


class SourceThrottle(CallerThrottle):
    def _allowance(self, request: Request) -> Allowance:
        if isinstance(request.auth, SignalSource):
            return Allowance("signals", request.auth.pk)
        return super()._allowance(request)


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "A signal has at most 64 KiB."


class Reused(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "id_reused"


class RawParser(BaseParser):
    """The bytes as they came: their digest is kept."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> bytes:  # type: ignore[override]  # no form
        body: bytes = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge
        return body


class SignalSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=200, help_text="The source's own name for the message.")
    kind = serializers.ChoiceField(choices=[(one.value, one.value) for one in Kind])
    event = serializers.CharField(
        max_length=200, required=False, help_text="What it is about; a stop without it ends all."
    )
    mw = serializers.FloatField(required=False, allow_null=True, help_text="Left out: all that the rule has.")
    level = serializers.FloatField(required=False, allow_null=True, help_text="Of kind level: 0 is normal.")
    starts_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Default: now.")
    ends_at = serializers.DateTimeField(required=False, allow_null=True)


class TakenSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    repeated = serializers.BooleanField(help_text="It was known already, and nothing happened.")
    received_at = serializers.DateTimeField()


class SignalView(APIView):
    authentication_classes = (SourceAuthentication,)
    permission_classes = (IsSource,)
    throttle_classes = (SourceThrottle,)
    parser_classes = (RawParser,)

    @extend_schema(
        operation_id="curtailment_signal",
        summary="Ask a site for less power (source token only)",
        description="The same id again changes nothing and answers 200; with another content it is refused by 409.",
        request=SignalSerializer,
        responses={201: TakenSerializer, 200: TakenSerializer},
    )
    def post(self, request: Request) -> Response:
        body: Any = request.data  # RawParser leaves it as it came
        assert isinstance(request.auth, SignalSource)  # noqa: S101  IsSource has seen to it
        try:
            message = understood(orjson.loads(body))
            taken = take(message, source=request.auth, digest=digest_of(body), door="api", now=database_now())
        except orjson.JSONDecodeError:
            raise exceptions.ParseError("The body is no JSON.") from None
        except BadSignal as bad:
            raise exceptions.ValidationError({bad.field: [str(bad)]}) from None
        except IdReused as reused:
            raise Reused(str(reused)) from None
        answer = {
            "id": taken.signal.external_id,
            "repeated": taken.repeated,
            "received_at": taken.signal.received_at,
        }
        return Response(answer, status.HTTP_200_OK if taken.repeated else status.HTTP_201_CREATED)
