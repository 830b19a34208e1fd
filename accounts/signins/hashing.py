"""Password hashes cost a third of a second each, on purpose: so a process makes few of them at a time, and none of novels."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from accounts.models import User

AT_A_TIME = 2
STRANGERS_AT_A_TIME = 1  # the other turn is kept for people whom we know
STRANGERS_MAY_WAIT = 2  # more would hold the threads that serve pages
WAIT_S = 3.0
MAX_PASSWORD_BYTES = 4096

_turns = BoundedSemaphore(AT_A_TIME)
_stranger_turns = BoundedSemaphore(STRANGERS_AT_A_TIME)
_seats = BoundedSemaphore(STRANGERS_AT_A_TIME + STRANGERS_MAY_WAIT)


class HashersBusy(Exception):
    """Too many sign-ins at this moment; nothing was checked."""

    wait_s = 5


@contextmanager
def hashing_turn(*, known: bool = True) -> Iterator[None]:
    """One of the process's turns to hash; raises HashersBusy after WAIT_S, and to strangers at once when others wait already.

    `known` is somebody signed in or at a known device: a storm of strangers cannot push them aside.
    """
    with ExitStack() as held:
        if not known:
            _take(_seats, held, wait_s=0)
            _take(_stranger_turns, held, wait_s=WAIT_S)
        _take(_turns, held, wait_s=WAIT_S)
        yield


def _take(semaphore: BoundedSemaphore, held: ExitStack, *, wait_s: float) -> None:
    if not semaphore.acquire(timeout=wait_s):
        raise HashersBusy
    held.callback(semaphore.release)


def password_fits(user: User | None, password: str, *, known: bool = True) -> bool:
    """One hash, whether or not there is a user and whether or not they have a password."""
    with hashing_turn(known=known):
        if user is None:
            make_password(password)
            return False
        return user.check_password(password)


def is_too_long(password: str) -> bool:
    return len(password.encode(errors="replace")) > MAX_PASSWORD_BYTES


class SensibleLength:
    """Password validator: what sign-in would refuse to hash cannot be set."""

    def validate(self, password: str, user: User | None = None) -> None:
        if is_too_long(password):
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"A password has at most {MAX_PASSWORD_BYTES} bytes."
