"""What each role may do, as one table of `resource:action`.

A resource is a model's name in lower case, an action one of view, add, change, delete, or a verb of that resource: `own` is
to have some of one's own, whatever else one may see. Staff roles reach the admin; a client or guest never does, and sees only
what `for_user()` gives.
"""

from django.db import models


class Role(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    USER = "user"
    CLIENT = "client"
    GUEST = "guest"


STAFF_ROLES = frozenset({Role.OWNER, Role.ADMIN, Role.USER})

EVERYTHING = "*"

PERMISSIONS: dict[Role, frozenset[str]] = {
    Role.OWNER: frozenset({EVERYTHING}),
    Role.ADMIN: frozenset({EVERYTHING}),
    Role.USER: frozenset(
        {
            "site:view",
            "minermodel:view",
            "miner:view",
            "miner:add",
            "miner:change",
            "minerlatest:view",
            "telemetrysweep:view",
            "operationlog:view",
            "eventendpoint:own",
        }
    ),
    Role.CLIENT: frozenset({"eventendpoint:own"}),
    Role.GUEST: frozenset(),
}


def allows(role: str, resource: str, action: str) -> bool:
    """Whether the role may do the action on the resource; unknown roles may do nothing."""
    granted = PERMISSIONS.get(Role(role), frozenset()) if role in Role.values else frozenset()
    return EVERYTHING in granted or f"{resource}:{action}" in granted
