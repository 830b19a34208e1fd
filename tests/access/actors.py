"""Who asks in the table of who may what."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`person` is a fixture's name; `state` what has happened to their access; `token` the scope or fate of a token."""

    person: str | None
    state: str = "open"
    token: str | None = None


ACTORS = {
    "anonymous": Actor(None),
    "guest": Actor("guest"),
    "client_a": Actor("client_a"),
    "client_b": Actor("client_b"),
    "operator": Actor("operator"),
    "admin": Actor("admin"),
    "owner": Actor("owner"),
    "not_yet": Actor("client_a", state="not_yet"),
    "expired": Actor("client_a", state="expired"),
    "revoked": Actor("client_a", state="revoked"),
    "disabled": Actor("client_a", state="disabled"),
    "viewing": Actor("admin", state="viewing"),  # as client_a
    "read_token": Actor("client_a", token="read"),
    "write_token": Actor("client_a", token="write"),
    "old_token": Actor("client_a", token="expired"),
}

Door = Callable[[Actor], "object"]
