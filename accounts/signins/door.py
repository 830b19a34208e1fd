"""The one door: limits, then exactly one hash, then everything else, and one answer for all that fails."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Outcome, User
from accounts.signins.hashing import HashersBusy, password_fits
from accounts.signins.limits import TooManyTries, admit
from accounts.signins.trail import record_attempt


def check_credentials(request: HttpRequest, *, email: str, password: str) -> User | None:
    """The user whose password this is and who may come in now; None for every other case, all alike in text and time.

    Failures are recorded here; a success is recorded when the whole sign-in is over, after the second factor. Raises
    TooManyTries and HashersBusy, both recorded, before anything is hashed.
    """
    email = email.strip().lower()
    try:
        admission = admit(request, email)
    except TooManyTries:
        record_attempt(request, Outcome.THROTTLED, typed=email, user=find_user(email))
        raise
    user = find_user(email)
    try:
        fits = password_fits(user, password, known=admission.known_device)
    except HashersBusy:
        admission.forgive()
        record_attempt(request, Outcome.THROTTLED, typed=email, user=user)
        raise
    if user is None:
        refusal: Outcome | None = Outcome.UNKNOWN_USER
    else:
        refusal = why_not(user) if fits else Outcome.BAD_PASSWORD
    if refusal is not None:
        record_attempt(request, refusal, typed=email, user=user)
        return None
    admission.forgive()
    return user


def find_user(email: str) -> User | None:
    """Addresses are stored in lower case."""
    return User.objects.filter(email=email).first()


def why_not(user: User) -> Outcome | None:
    """What keeps a person out whose password is right; asked after the hash, so that it costs no telling time."""
    if not user.is_active:
        return Outcome.DISABLED
    return None if user.has_access else Outcome.EXPIRED_ACCESS


def please_wait(request: HttpRequest, wait_s: int) -> HttpResponse:
    """429 in the farm's clothes, the same for everybody."""
    response = render(request, "account/throttled.html", {"minutes": -(-wait_s // 60)}, status=429)
    response["Retry-After"] = str(wait_s)
    return response
