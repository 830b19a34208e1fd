"""Framing of the CGMiner API: one JSON request, one JSON reply and a NUL byte, one connection.

Firmware in the field writes JSON with faults of many kinds. What is well-formed takes the fast path; the rest goes through a
short list of named repairs, and what is still no JSON object is refused.
"""

import re
from collections.abc import Callable
from typing import Any

import orjson

from hosting.cgminer.reading import ReadError

DEFAULT_PORT = 4028
MAX_REPLY_BYTES = 256 * 1024
MAX_DEPTH = 32

Document = dict[str, Any]


class ProtocolError(Exception):
    """The exchange gave no document; `reason` says why."""

    def __init__(self, reason: ReadError) -> None:
        super().__init__(reason.value)
        self.reason = reason


def encode_request(command: str, parameter: str | None = None) -> bytes:
    request = {"command": command} if parameter is None else {"command": command, "parameter": parameter}
    return orjson.dumps(request)


def decode_reply(raw: bytes) -> tuple[Document, tuple[str, ...]]:
    """The reply's document and the names of the repairs that it needed. Raises ProtocolError(BAD_JSON), nothing else."""
    body = raw.strip(b"\0 \t\r\n")
    document = _loads(body)
    if document is not None:
        return document, ()
    return _repaired(body)


def _loads(body: bytes | str) -> Document | None:
    try:
        document = orjson.loads(body)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return document if isinstance(document, dict) and _depth(document) <= MAX_DEPTH else None


def _depth(value: object, limit: int = MAX_DEPTH + 1) -> int:
    """How deeply nested the value is, looked at no further than the limit."""
    level: list[object] = [value]
    for depth in range(limit):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return depth
    return limit


def _regex(pattern: str, replacement: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: compiled.sub(replacement, text)


CLOSERS = {"{": "}", "[": "]"}


def _close_open_brackets(text: str) -> str:
    """The text cut after its last whole value, with what is open closed."""
    stack: list[str] = []
    end, open_then = 0, ""
    quoted = escaped = False
    for position, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in CLOSERS:
            stack.append(CLOSERS[character])
        elif character in "}]":
            if not stack or stack.pop() != character:
                return text
            end, open_then = position + 1, "".join(reversed(stack))
        elif character == ",":
            end, open_then = position, "".join(reversed(stack))
        if len(stack) > MAX_DEPTH:
            return text
    return text[:end] + open_then if stack else text


# In order; each is tried on top of those before it. Seen in the field, by firmware of several makes.
REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("nul", lambda text: text.replace("\0", "")),
    ("control", _regex(r"[\x01-\x1f]+", " ")),
    ("leading_comma", _regex(r"^\s*,+|(?<=[{\[])\s*,+", "")),
    ("missing_comma", _regex(r"(?<=[}\]])\s*(?=[{\[])|(?<=[}\]])\s*(?=\"[\w %.]+\"\s*:)", ",")),
    ("missing_quote_comma", _regex(r"(?<=[^:,{\[\s\\])\"\s*\"(?=[\w %.]+\"\s*:)", '","')),
    ("not_finite", _regex(r"(?<=[:,\[])\s*([-+]?(?:nan|inf(?:inity)?))(?=\s*[,}\]])", r'"\1"')),
    ("huge_exponent", _regex(r"(?<=[:,\[])\s*-?\d+(?:\.\d+)?e\+?\d{3,}(?=\s*[,}\]])", '"inf"')),
    ("trailing_comma", _regex(r",+\s*(?=[}\]])", "")),
    ("truncated", _close_open_brackets),
)


def _repaired(body: bytes) -> tuple[Document, tuple[str, ...]]:
    used = []
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
        used.append("latin1")
    if not text.lstrip(", \0\t\r\n").startswith("{"):  # plain text, HTML, a list: no repair makes a reading of it
        raise ProtocolError(ReadError.BAD_JSON)
    document = _loads(text) if used else None
    for name, repair in REPAIRS:
        if document is not None:
            break
        mended = repair(text)
        if mended != text:
            text = mended
            used.append(name)
            document = _loads(text)
    if document is None:
        raise ProtocolError(ReadError.BAD_JSON)
    return document, tuple(used)
