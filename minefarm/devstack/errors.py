"""What the dev stack raises, and how a server's last words become a next step."""

from pathlib import Path

_NEXT_STEPS = (
    ("No space left on device", "The disk is full: free some space, then run the command again."),
    ("Disk quota exceeded", "The disk quota is used up: free some space, then run the command again."),
    ("could not create shared memory", "The machine is out of shared memory: stop other servers, then run again."),
    ("Cannot allocate memory", "The machine is out of memory: stop other programs, then run again."),
    ("Out of memory", "The machine is out of memory: stop other programs, then run again."),
    ("Permission denied", "The server's account may not enter its folder: set MINEFARM_STATE_DIR to an open folder."),
    ("error while loading shared libraries", "The wheel does not fit this system: set DATABASE_URL and REDIS_URL."),
    ("could not look up effective user ID", "This user has no entry in /etc/passwd: add one, or set DATABASE_URL."),
)


class DevstackError(RuntimeError):
    """The embedded servers cannot be used; the message says what is wrong and what to do next."""


class PortTaken(DevstackError):
    """Somebody took the free port between our choice and the server's bind: another port will do."""


def next_step(last_words: str, log: Path) -> str:
    """The advice for the error a server logged; where nothing known matches, where to read on."""
    for symptom, advice in _NEXT_STEPS:
        if symptom in last_words:
            return advice
    return f"Read {log}; `make clean` starts over with empty servers."
