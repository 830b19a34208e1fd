"""The racks of a site as a map: a cell per slot, coloured by temperature, hashrate against nameplate, or status."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hosting.models import Miner, Rack
from hosting.states import MinerStatus
from hosting.summary import FRESH_FOR

# Of what a map shows: from which value on a cell has which tone, highest first, and what the legend says.
TEMPERATURES = (
    (90, 5, "90 °C and more"),
    (80, 4, "80 to 89"),
    (70, 3, "70 to 79"),
    (60, 2, "60 to 69"),
    (-99, 1, "below 60"),
)
SHARES = ((95, 1, "95 % and more"), (75, 2, "75 to 94"), (50, 3, "50 to 74"), (1, 4, "1 to 49"), (0, 5, "no hashrate"))
STATUSES = {
    MinerStatus.ACTIVE: "A",
    MinerStatus.OFFLINE: "O",
    MinerStatus.MAINTENANCE: "M",
    MinerStatus.CURTAILED: "C",
}
VIEWS = {"temperature": "Hottest chip", "hashrate": "Hashrate", "status": "Status"}
CELL = '<td class="{}"><a id="slot-{}" href="{}{}/" aria-label="{}">{}</a></td>'
EMPTY = '<td class="rack-empty">{}<span class="visually-hidden"> is empty</span></td>'

Row = tuple[int, int, int, str, str, Decimal | None, Decimal | None, Decimal | None, datetime | None]


@dataclass(frozen=True, slots=True)
class RackCells:
    """One rack as the page draws it; `shelves` are table rows."""

    name: str
    building: str
    machines: int
    slots: int
    shelves: list[SafeString]


def legend(by: str) -> list[tuple[str, str, str]]:
    """(class, what stands in the cell, what it means) of every colour."""
    if by == "status":
        return [(f"rack-status-{status}", letter, status.label) for status, letter in STATUSES.items()]
    steps = TEMPERATURES if by == "temperature" else SHARES
    kind = "heat" if by == "temperature" else "rate"
    return [(f"rack-{kind}-{tone}", "", words) for _, tone, words in reversed(steps)] + [
        ("rack-unknown", "–", "not known: no reading within five minutes")
    ]


def rack_map(racks: "QuerySet[Rack]", miners: "QuerySet[Miner]", *, by: str, now: datetime) -> list[RackCells]:
    """Two queries, whatever the size: the racks, and the machines in them. Expects staff: it reads slots."""
    found = miners.filter(rack__in=racks.order_by().values("pk")).order_by("rack", "slot")
    rows = found.values_list(
        *("rack_id", "slot", "pk", "serial_number", "status"),
        *("miner_model__hashrate", "latest__hashrate_ths", "latest__temperature_c", "latest__seen_at"),
    )
    standing: dict[int, dict[int, SafeString]] = {}
    pages = reverse("hosting:miners")
    fresh_since = now - FRESH_FOR
    for row in rows:
        standing.setdefault(row[0], {})[row[1]] = _cell(row, by, fresh_since, pages)
    return [_draw(rack, standing.get(rack.pk, {})) for rack in racks.select_related("building")]


def _draw(rack: Rack, cells: dict[int, SafeString]) -> RackCells:
    slots = max(rack.slots, *cells) if cells else rack.slots
    return RackCells(
        name=rack.name,
        building=rack.building.name,
        machines=len(cells),
        slots=rack.slots,
        shelves=list(_shelves(cells, slots, rack.slots_per_shelf)),
    )


def _shelves(cells: dict[int, SafeString], slots: int, width: int) -> Iterator[SafeString]:
    for first in range(1, slots + 1, width):
        numbers = range(first, min(first + width, slots + 1))
        yield format_html_join("", "{}", ((cells.get(slot) or format_html(EMPTY, slot),) for slot in numbers))


def _cell(row: Row, by: str, fresh_since: datetime, pages: str) -> SafeString:
    _, slot, pk, serial, status, expected, ths, temperature, seen_at = row
    fresh = seen_at is not None and seen_at > fresh_since
    share = round(100 * ths / expected) if fresh and ths is not None and expected else None
    degrees = round(temperature) if fresh and temperature is not None else None
    tone, text = _look(by, status, degrees, share)
    heat = "temperature not known" if degrees is None else f"{degrees} °C"
    rate = "hashrate not known" if share is None else f"{share} % of nameplate"
    words = f"Slot {slot}: {serial}, {status}, {heat}, {rate}"
    return format_html(CELL, tone, pk, pages, pk, words, text)


def _look(by: str, status: str, degrees: int | None, share: int | None) -> tuple[str, str]:
    if by == "status":
        return f"rack-status-{status}", STATUSES[MinerStatus(status)]
    value, steps, kind = (degrees, TEMPERATURES, "heat") if by == "temperature" else (share, SHARES, "rate")
    if value is None:
        return "rack-unknown", "–"
    return f"rack-{kind}-{next((tone for least, tone, _ in steps if value >= least), 5)}", str(value)


def unplaced(miners: "QuerySet[Miner]") -> int:
    """Machines of the site that stand in no rack."""
    return miners.filter(rack__isnull=True, retired_at__isnull=True).count()


def chosen_view(asked: Any) -> str:
    return asked if asked in VIEWS else "temperature"
