"""Who calls: the bearer of a token. It is found out before the view runs, so that the wall stands around all of it."""

from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.crypto import hash_token
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from accounts.api.throttles import Allowance
from accounts.models import ApiToken, User
from minefarm.lib.network import client_address, network_of

NEVER = "never"  # in a view's `token_scopes`: a person must be signed in
LONGEST_SECRET = 100
USE_NOTED_EVERY = timedelta(minutes=1)
MEMO = "_minefarm_bearer"


@dataclass(frozen=True)
class Bearer:
    """What the Authorization header came to: a token, a refusal, or neither when there is no such header."""

    token: ApiToken | None = None
    refusal: APIException | None = None


def find_bearer(request: HttpRequest) -> Bearer:
    """Look the request's token up, once; the answer stays with the request."""
    found: Bearer | None = getattr(request, MEMO, None)
    if found is None:
        try:
            found = Bearer(token=_token(request))
        except APIException as refusal:
            found = Bearer(refusal=refusal)
        setattr(request, MEMO, found)
    return found


def _token(request: HttpRequest) -> ApiToken | None:
    scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    failures = Allowance("failed_token", network_of(client_address(request)))
    if failures.is_spent():
        raise Throttled(failures.left_s, "Too many tokens were wrong.")
    try:
        token = _matching(secret.strip())
        _refuse_unusable(token, client_address(request))
    except AuthenticationFailed:
        failures.take()
        raise
    _note_use(token)
    return token


def _matching(secret: str) -> ApiToken:
    if len(secret) <= LONGEST_SECRET and secret.isascii() and secret.isprintable():
        digest = hash_token(secret)
        for token in ApiToken.objects.filter(token_key=secret[: ApiToken.SHOWN]).select_related("user"):
            if compare_digest(digest, token.digest):
                return token
    raise AuthenticationFailed("This token is not one of ours: check that all of it was copied.")


def _refuse_unusable(token: ApiToken, address: str | None) -> None:
    if token.state != "active":
        raise AuthenticationFailed(f"This token is {token.state}: make another one under API tokens.")
    owner: User = token.user
    if not (owner.is_active and owner.has_access):
        raise AuthenticationFailed("The token's owner has no access. Ask an administrator of the farm.")
    if not token.is_allowed_from(address):
        raise AuthenticationFailed("This token may not be used from this address.")


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at <= now - USE_NOTED_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer mf_…`. The role says what the owner may, the token's scopes how much of it.

    A view names other scopes than read and write in `token_scopes`, by method.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        bearer: Bearer | None = getattr(request._request, MEMO, None)  # noqa: SLF001  set by accounts.rls.RowSecurity
        if bearer is None:
            raise ImproperlyConfigured("accounts.rls.RowSecurity must run before every API view.")
        if bearer.refusal is not None:
            raise bearer.refusal
        if bearer.token is None:
            return None
        self._refuse_beyond_scope(request, bearer.token)
        return bearer.token.user, bearer.token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="MineFarm API"'

    def _refuse_beyond_scope(self, request: Request, token: ApiToken) -> None:
        view: Any = (request.parser_context or {}).get("view")
        method = str(request.method)
        default = "read" if method in SAFE_METHODS else "write"
        needed = getattr(view, "token_scopes", {}).get(method, default)
        if needed == NEVER:
            raise PermissionDenied("No token may do this: sign in to the portal.")
        if needed not in token.scopes:
            raise PermissionDenied(f"This token has no scope {needed}: make one that has.")


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "accounts.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from the portal's page API tokens; it starts with mf_.",
        }
