"""Usage that no contract bills: machines that ran for a customer at a site where no contract of theirs held on that day."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import User
from crm.billing.months import month_at
from hosting.models import Site

FIND = """
SELECT u.id, COALESCE(NULLIF(u.name, ''), u.email), count(*), COALESCE(sum(h.kwh), 0)
FROM client_telemetry_hour h JOIN users u ON u.id = h.client_id
WHERE h.site_id = %(site)s AND h.bucket >= %(start)s AND h.bucket < %(end)s AND h.miners > 0
  AND (%(clients)s::uuid[] IS NULL OR h.client_id = ANY(%(clients)s::uuid[]))
  AND NOT EXISTS (
    SELECT FROM crm_contracts c WHERE c.client_id = h.client_id AND c.site_id = h.site_id
      AND c.starts_on <= (h.bucket AT TIME ZONE %(zone)s)::date
      AND (c.ends_on IS NULL OR c.ends_on > (h.bucket AT TIME ZONE %(zone)s)::date))
GROUP BY u.id ORDER BY 2, 1
"""


@dataclass(frozen=True, slots=True)
class Unbilled:
    """One customer at one site: hours of the month without a contract, and the energy of them."""

    client: str
    site: str
    hours: int
    kwh: Decimal

    def row(self) -> dict[str, object]:
        """For JSON; decimals as text."""
        return {"client": self.client, "site": self.site, "hours": self.hours, "kwh": str(self.kwh)}

    def __str__(self) -> str:
        return f"{self.client} at {self.site}: {self.hours:,} hours, {self.kwh:,.3f} kWh without a contract"


def unbilled(month: date, *, site: Site | None = None, clients: Collection[User] | None = None) -> list[Unbilled]:
    """Customers whose usage of the month nobody is asked to pay for, by site. One query a site."""
    places = Site.objects.order_by("name", "pk") if site is None else [site]
    return [found for place in places for found in _at(place, month, clients)]


def _at(site: Site, month: date, clients: Collection[User] | None) -> Iterator[Unbilled]:
    span = month_at(month, site.time_zone)
    values: dict[str, Any] = {
        "site": site.pk,
        "zone": site.time_zone,
        "start": span.starts_at,
        "end": span.ends_at,
        "clients": None if clients is None else [client.pk for client in clients],
    }
    with connection.cursor() as cursor:
        cursor.execute(FIND, values)
        for _, client, hours, kwh in cursor.fetchall():
            yield Unbilled(client, site.name, hours, kwh)
