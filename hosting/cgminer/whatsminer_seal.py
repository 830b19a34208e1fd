"""The envelope of Whatsminer's write commands (API v2): a token made of MD5 crypt, and AES-256 in ECB mode.

Weak cryptography, but the machine's: it keeps out accidents, not attackers.
"""

import base64
import hashlib
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK_BYTES = 16
ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The digest's bytes as MD5 crypt writes them, three at a time.
ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
ROUNDS = 1000


class SealError(Exception):
    """What came is not sealed with this key."""


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b"".join(parts), usedforsecurity=False).digest()


def md5crypt(password: str, salt: str) -> str:
    """The last part of `$1$salt$...`, 22 characters."""
    secret, seasoning = password.encode(), salt.encode()[:8]
    inner = _md5(secret, seasoning, secret)
    mixed = secret + b"$1$" + seasoning + (inner * (len(secret) // 16 + 1))[: len(secret)]
    bits = len(secret)
    while bits:
        mixed += b"\0" if bits & 1 else secret[:1]
        bits >>= 1
    digest = _md5(mixed)
    for turn in range(ROUNDS):
        parts = [secret if turn % 2 else digest]
        if turn % 3:
            parts.append(seasoning)
        if turn % 7:
            parts.append(secret)
        parts.append(digest if turn % 2 else secret)
        digest = _md5(*parts)
    text = "".join(_base64(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in ORDER)
    return text + _base64(digest[11], 2)


def _base64(value: int, characters: int) -> str:
    return "".join(ALPHABET[value >> 6 * place & 63] for place in range(characters))


def session_key(password: str, salt: str) -> str:
    """What the password and the machine's salt make: the secret that both sides know."""
    return md5crypt(password, salt)


def token_sign(key: str, time: str, newsalt: str) -> str:
    """The token of a write command, from the answer to `get_token`."""
    return md5crypt(key + time, newsalt)


def _cipher(key: str) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES256(hashlib.sha256(key.encode()).digest()), modes.ECB())  # noqa: S305 the machine's choice


def seal(document: dict[str, Any], key: str) -> str:
    """The document as the machine sends and takes it: JSON, padded with NUL, encrypted, base64."""
    plain = orjson.dumps(document)
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(plain + b"\0" * (-len(plain) % BLOCK_BYTES))).decode()


def unseal(text: str, key: str) -> dict[str, Any]:
    """The document inside; raises SealError when the key is another one or the text is damaged."""
    try:
        sealed = base64.b64decode(text, validate=True)
        decryptor = _cipher(key).decryptor()
        document = orjson.loads((decryptor.update(sealed) + decryptor.finalize()).rstrip(b"\0"))
    except ValueError:
        raise SealError("not sealed with this key: check the password") from None
    if not isinstance(document, dict):
        raise SealError("the sealed text holds no command")
    return document
