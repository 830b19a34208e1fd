"""Step-up: before something dangerous, people prove again that they are themselves."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import resolve_url
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from minefarm.lib.rls import aside

View = TypeVar("View", bound=Callable[..., Any])
MESSAGE = "This needs a fresh proof that it is you: confirm at /accounts/reauthenticate/, then repeat it."


class StepUpRequired(PermissionDenied):
    """403 of the API; a token cannot step up, a signed-in person can."""

    default_code = "step_up_required"
    default_detail = MESSAGE


def has_stepped_up(request: HttpRequest | Request) -> bool:
    """Whether the person gave a password or a code in this session within STEP_UP_S (five minutes)."""
    plain = request._request if isinstance(request, Request) else request  # noqa: SLF001  DRF's only way to the session
    user = request.user
    if not user.is_authenticated or not hasattr(plain, "session"):
        return False
    proofs = [float(proof["at"]) for proof in get_authentication_records(plain, user)]
    return bool(proofs) and time.time() - max(proofs) < settings.STEP_UP_S


def step_up_required(view: View) -> View:
    """For a view function, a view's or admin action's method, or a method of an API view.

    Without a fresh proof a page leads to the confirmation and back to where the person was; the API answers 403 with the code
    `step_up_required`. Nothing is repeated by itself: the person presses the button again.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        request = next(arg for arg in args if isinstance(arg, HttpRequest | Request))
        refusal = step_up(request)
        return view(*args, **kwargs) if refusal is None else refusal

    return cast("View", guarded)


def step_up(request: HttpRequest | Request) -> HttpResponse | None:
    """The answer that leads to the confirmation, or None to go on; raises StepUpRequired in an API view."""
    if has_stepped_up(request):
        return None
    if isinstance(request, Request):
        raise StepUpRequired
    if _wants_json(request):
        return JsonResponse({"error": {"code": StepUpRequired.default_code, "message": MESSAGE}}, status=403)
    if request.method not in {"GET", "HEAD"}:
        messages.info(request, "Confirm that it is you, then press the button again.")
    return HttpResponseRedirect(confirmation(request))


def confirmation(request: HttpRequest) -> str:
    """Where the person confirms, and comes back from to this page."""
    with aside():  # second factors are out of customers' reach
        methods = get_adapter().get_reauthentication_methods(request.user)
    where = methods[0]["url"] if methods else resolve_url(settings.LOGIN_URL)
    return f"{where}?{urlencode({'next': _page_of(request)})}"


class StepUpForms:
    """For a ModelAdmin whose forms give rights or passwords. Asked when the form is opened, so that nothing typed is lost."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        page: Any = self
        writes = page.has_add_permission(request) if object_id is None else page.has_change_permission(request)
        if writes and (refusal := step_up(request)):
            return refusal
        return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[misc]  # ModelAdmin's


def _page_of(request: HttpRequest) -> str:
    """The page itself, or for a POST the page it was sent from."""
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    came_from = urlsplit(request.META.get("HTTP_REFERER", ""))
    if came_from.netloc != request.get_host():
        return str(request.path)
    return str(came_from.path + (f"?{came_from.query}" if came_from.query else ""))


def _wants_json(request: HttpRequest) -> bool:
    return request.content_type == "application/json" or request.headers.get("Accept") == "application/json"
