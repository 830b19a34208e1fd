"""Known devices: a browser in which somebody signed in before keeps a signed cookie that says for whom.

A password guesser does not have it, so limits that guessers can fill up for everybody do not bind its holder.
"""

import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

SALT = "minefarm.known-device"
LIFETIME_S = 180 * 86_400
MAX_PEOPLE = 5  # who share one browser
PENDING = "_minefarm_device_is_known_to"


@dataclass(frozen=True, slots=True)
class Device:
    """One browser; `people` are keyed hashes of e-mail addresses, newest last."""

    id: str
    people: tuple[str, ...] = ()

    def knows(self, email: str) -> bool:
        return _name(email) in self.people

    def with_person(self, email: str) -> "Device":
        others = tuple(person for person in self.people if person != _name(email))
        return Device(self.id, (*others, _name(email))[-MAX_PEOPLE:])


def device_of(request: HttpRequest) -> Device | None:
    """The device by its cookie; None without one, and for one that we did not sign or signed too long ago."""
    cookie = request.COOKIES.get(settings.KNOWN_DEVICE_COOKIE, "")
    try:
        content = signing.loads(cookie, salt=SALT, max_age=LIFETIME_S)
        return Device(str(content["id"]), tuple(map(str, content["people"])))
    except (signing.BadSignature, KeyError, TypeError):
        return None


def remember_device(request: HttpRequest, email: str) -> None:
    """Let the answer to this request mark the browser as known to the person (KnownDevice middleware writes the cookie)."""
    setattr(request, PENDING, email)


def write_pending(request: HttpRequest, response: HttpResponse) -> None:
    email = getattr(request, PENDING, None)
    if email is None:
        return
    device = (device_of(request) or Device(secrets.token_urlsafe(12))).with_person(email)
    response.set_cookie(
        settings.KNOWN_DEVICE_COOKIE,
        signing.dumps({"id": device.id, "people": device.people}, salt=SALT, compress=True),
        max_age=LIFETIME_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _name(email: str) -> str:
    return salted_hmac(SALT, email.strip().lower()).hexdigest()[:20]
