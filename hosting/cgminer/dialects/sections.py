"""Getting at the data of a reply, whatever shape the firmware gave it."""

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]
# Command name to its reply document, for those commands that were asked and answered.
Replies = Mapping[str, Fields]

# Where it is not the command's name in capitals.
SECTIONS = {
    "estats": "STATS",
    "litestats": "STATS",
    "edevs": "DEVS",
    "temperature": "Temperature",
    "fan": "Fan",
}
LONGEST_LIST = 512  # of anything that a machine has many of


def status(reply: Fields) -> Fields:
    """The envelope's first STATUS object; newer Whatsminers have it flat."""
    entry = reply.get("STATUS")
    if isinstance(entry, list) and entry and isinstance(entry[0], dict):
        return entry[0]
    if isinstance(entry, dict):
        return entry
    return {
        "STATUS": entry,
        "Code": reply.get("Code"),
        "Description": reply.get("Description"),
        "When": reply.get("When"),
    }


def refused(reply: Fields) -> bool:
    """Whether the device says that it does not know or does not allow the command."""
    return status(reply).get("STATUS") in {"E", "F"}


def entries(replies: Replies, command: str) -> list[Fields]:
    """The data objects of one command's reply; empty when it was not asked, refused, or is of no known shape."""
    reply = replies.get(command)
    if reply is None:
        return []
    data = reply.get(SECTIONS.get(command) or command.upper())
    if isinstance(data, dict):
        return [data]
    if isinstance(data, list):
        return [entry for entry in data if isinstance(entry, dict)]
    message = reply.get("Msg")
    return [message] if isinstance(message, dict) else []


def first(replies: Replies, command: str) -> Fields:
    return next(iter(entries(replies, command)), {})


def described(replies: Replies, *names: str) -> bool:
    """Whether a reply's envelope names its software so, e.g. "LUXminer 2025.4.8"."""
    for reply in replies.values():
        words = status(reply).get("Description")
        if isinstance(words, str) and words.startswith(names):
            return True
    return False


def version_key(replies: Replies, prefix: str) -> str | None:
    """The version that is told under a name of that beginning: `"BOSminer+": "0.2.0"`."""
    version = first(replies, "version")
    return next((text(value) for key, value in version.items() if key.startswith(prefix)), None)


def text(raw: object) -> str | None:
    """A device's text made fit to store and show: printable, trimmed, at most 255 characters; None when nothing is left."""
    if not isinstance(raw, str):
        return None
    if not raw.isprintable():
        raw = "".join(character for character in raw if character.isprintable())
    return raw.strip(" '\"")[:255] or None


def device_time(replies: Replies) -> int | None:
    """The device's own clock, epoch seconds; often wrong, never used as a key."""
    for reply in replies.values():
        when = status(reply).get("When")
        if isinstance(when, int) and not isinstance(when, bool) and 0 <= when < 2**53:
            return when
    return None
