"""Framing of the CGMiner API: one JSON request, one JSON reply and a NUL byte, one connection.

Firmware in the field writes JSON with faults of many kinds. What is well-formed takes the fast path; the rest goes through a
short list of named repairs, and what is still no JSON object is refused.
"""

from typing import Any

import orjson

from hosting.cgminer.reading import ReadError
from hosting.cgminer.repair import Unrepairable, repair

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
    """The reply's document and the names of the repairs that it needed.

    Values that are no finite numbers become the texts "nan" and "inf", for the reader to count; of equal keys the last wins.
    Raises ProtocolError, nothing else, whatever the bytes.
    """
    if len(raw) > MAX_REPLY_BYTES:
        raise ProtocolError(ReadError.TOO_BIG)
    body = raw.strip(b"\0 \t\r\n")
    repairs: tuple[str, ...] = ()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document, repairs = _repaired(body)
    if not isinstance(document, dict) or _too_deep(body, document):
        raise ProtocolError(ReadError.BAD_JSON)
    return document, repairs


def may_be_whole(reply: bytes) -> bool:
    """Whether a reply that just received a NUL can be complete: some firmware puts NULs into the middle of an object."""
    if reply.endswith(b"}\0"):
        return True
    text = reply.rstrip(b"\0 \t\r\n")
    return text.endswith(b"}") or not text.startswith(b"{")


def _repaired(body: bytes) -> tuple[Document, tuple[str, ...]]:
    names: list[str] = []
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
        names.append("latin1")
    if "\0" in text:
        text = text.replace("\0", "")
        names.append("nul")
    if not text.lstrip(", \t\r\n").startswith("{"):  # plain text, HTML, a list: no repair makes a reading of it
        raise ProtocolError(ReadError.BAD_JSON)
    try:
        text, mended = repair(text, max_depth=MAX_DEPTH)
        return orjson.loads(text), (*names, *mended)
    except (Unrepairable, orjson.JSONDecodeError):
        raise ProtocolError(ReadError.BAD_JSON) from None


def _too_deep(body: bytes, document: Document) -> bool:
    # Depth takes as many brackets, and counting them is far cheaper than walking the document.
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH and _deeper_than(document, MAX_DEPTH)


def _deeper_than(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value)
    return False
