"""What people say about their endpoints: which events there are to hear of, and changes to what they registered."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from events.catalogue import CATALOGUE
from events.models import EventEndpoint
from minefarm.lib.rls import aside

TEST = "webhook.test"
DESCRIPTION_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that one may ask for, and what it tells."""

    event_type: str
    tells: str


def offers() -> tuple[Offer, ...]:
    """Everything in the catalogue but the test, which nobody asks for in advance."""
    return tuple(
        Offer(event.name, f"{event.when[:1].upper()}{event.when[1:]}.")
        for event in sorted(CATALOGUE.values(), key=lambda event: event.name)
        if event.name != TEST
    )


def known_types(event_types: Iterable[str]) -> list[str]:
    """The types, once each and sorted; raises ValidationError for one that no event has."""
    wanted = sorted(set(event_types))
    known = [offer.event_type for offer in offers()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValidationError({"event_types": f"There is no event {unknown[0]!r}; there are {', '.join(known)}."})
    return wanted


@aside()
@transaction.atomic
def change_endpoint(
    endpoint: EventEndpoint, *, description: str | None = None, event_types: Iterable[str] | None = None
) -> None:
    """Write what is given, nothing else: a dispatcher may be counting failures in the same row at this moment."""
    changed = ["updated_at"]
    if description is not None:
        endpoint.description = description
        changed.append("description")
    if event_types is not None:
        endpoint.event_types = known_types(event_types)
        changed.append("event_types")
    endpoint.save(update_fields=changed)
