"""The signed webhook of a utility, as Standard Webhooks has it: HMAC-SHA256 over id, time and body, five minutes of tolerance."""

from uuid import UUID

import orjson
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.api.throttles import Allowance
from accounts.rls import outside_the_wall
from curtailment.models import SignalSource
from curtailment.signalling import LONGEST_ID, MOST_BYTES, BadSignal, IdReused, digest_of, take, understood
from curtailment.sources import secret_of
from minefarm.lib.clock import database_now
from minefarm.lib.network import client_address, network_of

SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


@csrf_exempt
@require_POST
@never_cache
@outside_the_wall("a utility acts for itself, not for a person: its signature alone decides")
def signal_hook(request: HttpRequest, source_id: UUID) -> JsonResponse:
    """Take one signed signal; `webhook-id` is its id, so that a repeat changes nothing."""
    failures = Allowance("failed_token", f"hook:{network_of(client_address(request))}")
    if failures.is_spent():
        return _wait(failures.left_s)
    if _length(request) > MOST_BYTES or len(body := request.read(MOST_BYTES + 1)) > MOST_BYTES:
        return _refused(413, "too_large", "A signal has at most 64 KiB.")
    source = SignalSource.objects.select_related("site").filter(pk=source_id, disabled_at=None).first()
    if source is None or not _is_signed(request, body, source):
        failures.take()
        return _refused(
            401, "signature", "The signature, its time or the source is wrong: sign as Standard Webhooks says."
        )
    allowance = Allowance("signals", source.pk)
    return _taken(request.headers["webhook-id"], body, source) if allowance.take() else _wait(allowance.left_s)


def _taken(name: str, body: bytes, source: SignalSource) -> JsonResponse:
    if len(name) > LONGEST_ID or not name.isprintable():
        return _refused(400, "invalid", f"webhook-id has at most {LONGEST_ID} printable characters.")
    try:
        message = understood(orjson.loads(body), external_id=name)
        taken = take(message, source=source, digest=digest_of(body), door="webhook", now=database_now())
    except orjson.JSONDecodeError:
        return _refused(400, "invalid", "The body is no JSON.")
    except BadSignal as bad:
        return _refused(400, "invalid", f"{bad.field}: {bad}")
    except IdReused as reused:
        return _refused(409, "id_reused", str(reused))
    return JsonResponse({"id": name, "repeated": taken.repeated}, status=200 if taken.repeated else 201)


def _is_signed(request: HttpRequest, body: bytes, source: SignalSource) -> bool:
    secret = secret_of(source)
    if secret is None:
        return False
    headers = {name: request.headers.get(name, "") for name in SIGNED}
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the library lets broken base64 and text pass as they are
        return False
    return True


def _length(request: HttpRequest) -> int:
    told = request.META.get("CONTENT_LENGTH") or "0"
    return int(told) if told.isascii() and told.isdecimal() else 0


def _refused(status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)


def _wait(seconds: int) -> JsonResponse:
    answer = _refused(429, "throttled", f"Too many requests: wait {seconds} s.")
    answer["Retry-After"] = str(seconds)
    return answer
