"""The API's root: which resources there are, and what an error looks like."""

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError
from django.db.models import ProtectedError
from django.http import Http404
from django.urls import include, path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import exceptions, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView, set_rollback

RESOURCES = {
    "sites": "api:site-list",
    "models": "api:model-list",
    "miners": "api:miner-list",
    "miner-commands": "api:command-list",
    "buildings": "api:building-list",
    "racks": "api:rack-list",
    "circuits": "api:circuit-list",
    "tickets": "api:ticket-list",
    "telemetry": "api:telemetry",
    "alerts": "api:alert-list",
    "market": "api:market",
    "indicators": "api:indicators",
    "profit": "api:profit",
    "contracts": "api:contract-list",
    "invoices": "api:invoice-list",
    "payments": "api:payment-list",
    "curtailment-rules": "api:curtailment-rule-list",
    "leads": "api:lead-list",
    "deals": "api:deal-list",
    "activities": "api:activity-list",
    "curtailment-plans": "api:curtailment-plan-list",
    "endpoints": "api:endpoint-list",
    "deliveries": "api:delivery-list",
    "tokens": "api:token-list",
    "schema": "api:schema",
    "docs": "api:docs",
}


class RootView(APIView):
    @extend_schema(
        operation_id="root",
        summary="The resources and where they are",
        responses={
            (200, "application/json"): {
                "type": "object",
                "properties": {name: {"type": "string", "format": "uri"} for name in RESOURCES},
                "required": list(RESOURCES),
            }
        },
    )
    def get(self, request: Request) -> Response:
        return Response({name: reverse(route, request=request) for name, route in RESOURCES.items()})


@extend_schema(exclude=True)
class UnknownView(APIView):
    """Paths that nothing answers get the API's own 404, not a page."""

    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound("The API has no such path; GET /api/v1/ lists what there is.")


class DocsView(SpectacularSwaggerSplitView):
    """The schema to read and try; script and style come from files, so the strict content policy holds here, too."""

    url_name = "api:schema"
    template_name = "minefarm/api_docs.html"


# --- errors -----------------------------------------------------------------------------------------------------------


class InUse(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "in_use"


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"
    default_detail = "Another change came first. Read the row again, then repeat yours."


NEXT_STEP = {
    exceptions.NotAuthenticated: "Send a token of yours (Authorization: Bearer mf_...), or sign in at /accounts/login/.",
    exceptions.PermissionDenied: "Your role may not do this. Ask an administrator of the farm.",
    exceptions.NotFound: "There is nothing here under this address.",
}


REFUSALS: dict[type[Exception], Callable[[], exceptions.APIException]] = {
    Http404: exceptions.NotFound,
    PermissionDenied: exceptions.PermissionDenied,
    IntegrityError: Conflict,
    DataError: lambda: exceptions.ValidationError("A value is outside of what can be stored."),
}

MOST_ITEMS = 20  # of a refused list are told


def handle(error: Exception, _context: Mapping[str, Any]) -> Response | None:
    """Every refusal in one shape: `{"error": {"code", "message", "fields"?}}`; None lets a real failure through."""
    refusal = _as_refusal(error)
    if refusal is None:
        return None
    set_rollback()
    headers = {}
    if challenge := getattr(refusal, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait_s := getattr(refusal, "wait", None):
        headers["Retry-After"] = str(int(wait_s))
    return Response({"error": _body(refusal)}, status=refusal.status_code, headers=headers)


def _as_refusal(error: Exception) -> exceptions.APIException | None:
    if isinstance(error, exceptions.APIException):
        return error
    if isinstance(error, ProtectedError):
        return InUse(_what_holds(error))
    return next((refusal() for kind, refusal in REFUSALS.items() if isinstance(error, kind)), None)


def _what_holds(error: ProtectedError) -> str:
    """Name what stands in the way, and what to do with it."""
    kinds: dict[str, int] = {}
    for row in error.protected_objects:
        meta = row._meta  # noqa: SLF001  Django's documented model API
        kinds[str(meta.verbose_name_plural)] = kinds.get(str(meta.verbose_name_plural), 0) + 1
    held = ", ".join(f"{name} ({count})" for name, count in sorted(kinds.items()))
    return f"Still in use by {held}. Move or delete those first."


def _body(refusal: exceptions.APIException) -> dict[str, Any]:
    detail = refusal.detail
    if isinstance(detail, dict):
        fields = {name: _messages(value) for name, value in detail.items()}
        first, messages = next(iter(fields.items()))
        message = str(messages[0]) if messages else "Not valid."
        prefix = "" if first == "non_field_errors" else f"{first}: "
        return {"code": "invalid", "message": prefix + message, "fields": fields}
    if isinstance(detail, list):
        return {"code": "invalid", "message": " ".join(map(str, detail))}
    default = str(detail) == str(refusal.default_detail)
    message = NEXT_STEP.get(type(refusal), str(detail)) if default else str(detail)
    return {"code": str(getattr(detail, "code", refusal.default_code)), "message": message}


def _messages(value: Any) -> list[str]:
    """Sentences; those about items of a list or an object inside a field say which."""
    if isinstance(value, list):
        return [message for one in value for message in _messages(one)]
    if isinstance(value, dict):
        inner = [(name, message) for name, one in value.items() for message in _messages(one)]
        told = [
            f"item {name + 1}: {message}" if isinstance(name, int) else f"{name}: {message}" for name, message in inner
        ]
        return [*told[:MOST_ITEMS], *([f"and {len(told) - MOST_ITEMS} more"] if len(told) > MOST_ITEMS else [])]
    return [str(value)]


def describe_errors(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Schema hook: every operation may refuse, in the shape above."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "For programs."},
                    "message": {"type": "string", "description": "For people; says what to do."},
                    "fields": {
                        "type": "object",
                        "description": "Messages by field or parameter.",
                        "additionalProperties": {"type": "array", "items": {"type": "string"}},
                    },
                },
            }
        },
    }
    refusal = {
        "description": "Refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"]["4XX"] = refusal
    return result


app_name = "api"

urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("schema/", extend_schema(exclude=True)(SpectacularAPIView).as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
    path("", include("accounts.api.urls")),
    path("", include("hosting.api.urls")),
    path("", include("crm.api.pipeline_urls")),
    path("", include("analytics.api.urls")),
    path("", include("crm.api.contract_urls")),
    path("", include("crm.api.invoice_urls")),
    path("", include("curtailment.api.urls")),
    path("", include("events.api.urls")),
    path("", include("curtailment.api.rule_urls")),
    # Only with the slash at the end: without it Django first tries to add one.
    re_path(r"^.*/$", UnknownView.as_view()),
]
