"""What circuits carry: by the nameplates of the machines in their racks, and as measured within the last five minutes.

A rack with several circuits loads each evenly. This says nothing of the moment when one of two feeds fails.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection

KILO = Decimal(1000)

# Machines per rack first, feeds second: joining both at once would count a machine per feed.
LOADS = """
WITH standing AS (
    SELECT m.rack_id, count(*) AS machines, sum(k.power_consumption) AS nameplate_w,
        count(*) FILTER (WHERE k.power_consumption IS NULL) AS without_nameplate,
        sum(l.power_w) FILTER (WHERE l.seen_at > now() - interval '5 minutes') AS measured_w,
        count(l.power_w) FILTER (WHERE l.seen_at > now() - interval '5 minutes') AS measured
    FROM hosting_miners m
        JOIN hosting_racks r ON r.id = m.rack_id JOIN hosting_buildings b ON b.id = r.building_id
        LEFT JOIN miner_models k ON k.id = m.miner_model_id
        LEFT JOIN miner_latest l ON l.miner_id = m.id
    WHERE b.site_id = ANY(%(sites)s) AND m.retired_at IS NULL
    GROUP BY m.rack_id
), feeds AS (
    SELECT rack_id, circuit_id, count(*) OVER (PARTITION BY rack_id) AS sharing FROM hosting_rack_circuits
)
SELECT c.id, c.site_id, c.name, c.capacity_kw, c.continuous_percent, count(f.rack_id), COALESCE(sum(s.machines), 0),
    COALESCE(sum(s.without_nameplate), 0), COALESCE(sum(s.measured), 0),
    sum(s.nameplate_w / f.sharing), sum(s.measured_w / f.sharing)
FROM hosting_circuits c LEFT JOIN feeds f ON f.circuit_id = c.id LEFT JOIN standing s ON s.rack_id = f.rack_id
WHERE c.site_id = ANY(%(sites)s)
GROUP BY c.id ORDER BY c.site_id, c.name
"""


@dataclass(frozen=True, slots=True)
class CircuitLoad:
    """One circuit; kW are None where nothing is known. `machines` counts all of its racks', shared or not."""

    id: int
    site_id: int
    name: str
    capacity_kw: Decimal
    continuous_percent: int
    racks: int
    machines: int
    without_nameplate: int
    measured: int
    nameplate_kw: Decimal | None
    measured_kw: Decimal | None

    @property
    def continuous_kw(self) -> Decimal:
        """kW that it may carry all day."""
        return self.capacity_kw * self.continuous_percent / 100

    @property
    def nameplate_percent(self) -> Decimal | None:
        return self._share(self.nameplate_kw)

    @property
    def measured_percent(self) -> Decimal | None:
        return self._share(self.measured_kw)

    @property
    def over_by_nameplate(self) -> bool:
        return self.nameplate_kw is not None and self.nameplate_kw > self.continuous_kw

    @property
    def over_as_measured(self) -> bool:
        return self.measured_kw is not None and self.measured_kw > self.continuous_kw

    @property
    def warning(self) -> str:
        """What is too much, in words; empty while nothing is. A warning refuses nothing."""
        parts = []
        if self.over_by_nameplate:
            parts.append(f"{self.nameplate_kw:,.2f} kW by nameplate")
        if self.over_as_measured:
            parts.append(f"{self.measured_kw:,.2f} kW measured")
        if not parts:
            return ""
        return (
            f"{self.name} is over-subscribed: {' and '.join(parts)}, {self.continuous_kw:,.2f} kW allowed all day"
            f" ({self.continuous_percent} % of {self.capacity_kw:,.2f} kW). Move machines, or feed the rack from another circuit."
        )

    def _share(self, kw: Decimal | None) -> Decimal | None:
        return None if kw is None else 100 * kw / self.capacity_kw


def circuit_loads(site_ids: Iterable[int]) -> list[CircuitLoad]:
    """Every circuit of the sites with its load, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(LOADS, {"sites": list(site_ids)})
        rows = cursor.fetchall()
    return [
        CircuitLoad(
            *row[:5],
            *(int(number) for number in row[5:9]),
            *(None if watts is None else watts / KILO for watts in row[9:]),
        )
        for row in rows
    ]
