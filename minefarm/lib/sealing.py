"""Secrets that must be read again later (a webhook's key, a second factor's seed), encrypted at rest.

The keys come from SECRET_KEY and SECRET_KEY_FALLBACKS: what an older key sealed is still read, and sealed anew with the first.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(ValueError):
    """Sealed with a key that this installation does not have: put the old SECRET_KEY into SECRET_KEY_FALLBACKS."""


def seal(text: str, *, purpose: str) -> str:
    """Encrypt for storage; `purpose` separates the keys, so that one kind of secret cannot be passed off as another."""
    return _box(purpose, _keys()).encrypt(text.encode()).decode()


def unseal(sealed: str, *, purpose: str) -> str:
    """Raises Unreadable when no present key fits."""
    try:
        return _box(purpose, _keys()).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable(
            f"a secret for {purpose} cannot be read with the present keys:"
            " put the SECRET_KEY that sealed it into SECRET_KEY_FALLBACKS"
        ) from None


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=32)
def _box(purpose: str, keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(purpose, key)) for key in keys])


def _derive(purpose: str, key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"minefarm " + purpose.encode()).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
