"""Password hashes cost a third of a second each, on purpose: so a process makes few of them at a time, and none of novels."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from accounts.models import User

AT_A_TIME = 2
MAY_WAIT = 2  # more would hold the threads that serve pages
WAIT_S = 3.0
MAX_PASSWORD_BYTES = 4096

_turns = BoundedSemaphore(AT_A_TIME)
_seats = BoundedSemaphore(AT_A_TIME + MAY_WAIT)


class HashersBusy(Exception):
    """Too many sign-ins at this moment; nothing was checked."""

    wait_s = 5


@contextmanager
def hashing_turn(*, known: bool = True) -> Iterator[None]:
    """One of the process's turns to hash; raises HashersBusy after WAIT_S, and to strangers at once when others wait already.

    `known` is somebody signed in or at a known device: a storm of strangers cannot push them out of the queue.
    """
    if not known and not _seats.acquire(blocking=False):
        raise HashersBusy
    try:
        if not _turns.acquire(timeout=WAIT_S):
            raise HashersBusy
        try:
            yield
        finally:
            _turns.release()
    finally:
        if not known:
            _seats.release()


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
