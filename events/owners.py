"""What this app must know of the people behind endpoints, told by the app that knows people.

`events` stands below `accounts` and has no foreign key to it. An upper app registers one function in `AppConfig.ready()`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Owner:
    """A person as far as events go: inactive people receive nothing, staff hear of everything, others of their own."""

    id: UUID
    email: str
    name: str
    is_active: bool
    is_staff: bool

    def may_hear_of(self, client_id: UUID | None) -> bool:
        return self.is_active and (self.is_staff or self.id == client_id)


Lookup = Callable[[Iterable[UUID]], Mapping[UUID, Owner]]


def _nobody(_ids: Iterable[UUID]) -> Mapping[UUID, Owner]:
    return {}


_lookup: Lookup = _nobody


def register_lookup(lookup: Lookup) -> None:
    global _lookup  # noqa: PLW0603  one provider, set once at start
    _lookup = lookup


def owners(ids: Iterable[UUID]) -> Mapping[UUID, Owner]:
    """The owners with these ids; whoever is not in the answer no longer exists."""
    return _lookup(set(ids))
