"""What people say about their endpoints: which events there are to hear of, and changes to what they registered."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from events.models import EventEndpoint

DESCRIPTION_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that one may ask for, and what it tells."""

    event_type: str
    tells: str


# Until the catalogue of events is there.
OFFERS = (
    Offer("miner.offline", "No good reading of a machine for five minutes."),
    Offer("miner.online", "A machine that was offline gives a good reading."),
)


def offers() -> tuple[Offer, ...]:
    return OFFERS


def known_types(event_types: Iterable[str]) -> list[str]:
    """The types, once each and sorted; raises ValidationError for one that no event has."""
    wanted = sorted(set(event_types))
    known = [offer.event_type for offer in offers()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValidationError({"event_types": f"There is no event {unknown[0]!r}; there are {', '.join(known)}."})
    return wanted


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
