"""A person's API tokens in the API itself. Making one takes a session: a token that leaked makes no others."""

from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.api.authentication import NEVER
from accounts.api.throttles import Allowance
from accounts.models import ApiToken
from accounts.models.tokens import SCOPES
from accounts.stepup import step_up_required
from accounts.tokens import make_token, revoke_token

ROW_FIELDS = ("id", "name", "token_key", "scopes", "addresses", "created", "expiry", "last_used_at", "revoked_at")


class TokenSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    starts_with = serializers.CharField(help_text="The visible start of the token.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(SCOPES)))
    addresses = serializers.ListField(child=serializers.CharField(), help_text="Networks; empty: from anywhere.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Within a minute.")
    revoked_at = serializers.DateTimeField(allow_null=True)


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(help_text="The secret. It is in no other answer: keep it now.")


class TokenWriteSerializer(serializers.Serializer[dict[str, Any]]):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(SCOPES)), min_length=1, max_length=10)
    expires_at = serializers.DateTimeField(help_text="At most 365 days from now.")
    addresses = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=20, help_text="Such as 192.0.2.0/24."
    )


def token_row(flat: dict[str, Any]) -> dict[str, Any]:
    named = {"token_key": "starts_with", "created": "created_at", "expiry": "expires_at"}
    return {named.get(key, key): flat[key] for key in ROW_FIELDS}


@extend_schema_view(
    list=extend_schema(
        summary="List your API tokens", description="Never their secrets.", responses=TokenSerializer(many=True)
    ),
    create=extend_schema(
        summary="Make an API token (session only)",
        description="The answer holds the token, which is shown this once. No token can make another, and the person must have"
        " given a password or a code within five minutes.",
        responses={201: NewTokenSerializer},
    ),
    destroy=extend_schema(
        summary="Revoke an API token", description="At once; the row stays, as a record.", responses={204: None}
    ),
)
class TokenView(viewsets.GenericViewSet[ApiToken]):
    # Everybody has tokens of their own, whatever the role. No docstring: the schema would print it.

    permission_classes = (IsAuthenticated,)
    serializer_class: Any = TokenWriteSerializer
    queryset = ApiToken.objects.none()
    lookup_value_converter = "int"
    filter_backends = ()
    token_scopes = {"POST": NEVER}

    def get_queryset(self) -> QuerySet[ApiToken]:
        return ApiToken.objects.for_user(actor(self.request))

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset().values(*ROW_FIELDS))
        return self.get_paginated_response([token_row(flat) for flat in page or ()])

    @step_up_required
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        allowance = Allowance("new_token", actor(request).pk)
        if not allowance.take():
            raise Throttled(allowance.left_s)
        try:
            token, secret = make_token(**serializer.validated_data, by=actor(request))
        except ModelValidationError as error:
            fields = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
            raise ValidationError(fields) from None
        row = token_row({key: getattr(token, key) for key in ROW_FIELDS})
        return Response(row | {"token": secret}, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})

    def destroy(self, request: Request, pk: int) -> Response:
        revoke_token(self.get_object(), by=actor(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
