"""A last month for the demo: contracts, the hours that its machines would have had, and the bills of it."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from accounts.models import User
from accounts.roles import Role
from crm.billing.bills import RunPreview
from crm.billing.months import month_at, month_before
from crm.billing.runs import issue_run
from crm.contracts import create_contract
from crm.models import Contract
from hosting.models import MinerHour, Site
from minefarm.lib.clock import database_now

# One customer pays by the kWh with a guaranteed uptime, the other a flat fee at the first site; at the second the price of
# electricity is passed on, which the demo knows for the last 30 days only: that bill is held back, to be looked at.
METERED: dict[str, Any] = {
    "pricing": "metered",
    "rate_per_kwh": Decimal("0.0745"),
    "uptime_guarantee_pct": Decimal("99.9"),
    "tax_pct": Decimal(8),
}
FLAT: dict[str, Any] = {"pricing": "flat", "flat_per_miner": Decimal("165.00"), "setup_fee": Decimal("250.00")}
PASSED_ON: dict[str, Any] = {"pricing": "pass_through", "rate_per_kwh": Decimal("0.012")}
# Made up, and named so nowhere but here: a machine runs within three percent of its data sheet, some stand still for a day.
HOURS = """
INSERT INTO miner_telemetry_hour (starts_at, period_s, miner_id, site_id, client_id, samples, hashrate_samples, hashrate_ths_sum,
    power_samples, power_w_sum, estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s)
SELECT hour, 3600, m.id, m.site_id, m.client_id, 60, 60, round(60 * o.up * o.part * k.hashrate, 2), 60,
    round(60 * o.part * k.power_consumption * GREATEST(o.up, 0.02), 2), 0, 62,
    round(o.part * k.power_consumption * GREATEST(o.up, 0.02) / 1000, 6), 'miner', 3600 * o.up, 0
FROM hosting_miners m
JOIN miner_models k ON k.id = m.miner_model_id AND k.power_consumption IS NOT NULL AND k.hashrate IS NOT NULL
CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS hour
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM hour)::bigint / 3600 AS number, (m.id + extract(epoch FROM hour)::bigint / 86400) %% 97 AS draw
) n
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.draw = 0 THEN 0 ELSE 1 END AS up, 0.97 + ((m.id * 31 + n.number * 17) %% 61) / 1000.0 AS part
) o
WHERE m.site_id = %(site)s AND m.retired_at IS NULL
"""
SUMS = """
INSERT INTO {table} ({owner}site_id, bucket, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples,
    temperature_max_c, miners, period_s, kwh, estimated_miners, hashing_s, gap_s{counted})
SELECT {owner}site_id, starts_at, 60, sum(samples), sum(hashrate_ths_sum), sum(power_w_sum), 0, max(temperature_max_c),
    count(*), 3600, sum(kwh), 0, sum(hashing_s), sum(gap_s){counts}
FROM miner_telemetry_hour WHERE site_id = %(site)s AND starts_at >= %(start)s AND starts_at < %(end)s {known}
GROUP BY {owner}site_id, starts_at ON CONFLICT DO NOTHING
"""


def bill_last_month(*, by: User) -> RunPreview:
    """Agree contracts, write last month's hours once, and issue what can go out; again changes nothing."""
    month = month_before(database_now().date())
    for number, site in enumerate(Site.objects.order_by("id")):
        fill_hours(site, month)
        agree(site, month, first=number == 0)
    return issue_run(month, by=by)


@transaction.atomic
def fill_hours(site: Site, month: date) -> None:
    """The ledger's rows of a month of which it knows nothing."""
    span = month_at(month, site.time_zone)
    values: dict[str, Any] = {"site": site.pk, "start": span.starts_at, "end": span.ends_at}
    if MinerHour.objects.filter(site=site, starts_at__gte=span.starts_at, starts_at__lt=span.ends_at).exists():
        return
    customers = SUMS.format(
        table="client_telemetry_hour", owner="client_id, ", counted="", counts="", known="AND client_id IS NOT NULL"
    )
    whole = SUMS.format(
        table="site_telemetry_hour", owner="", counted=", sweeps, swept", counts=", 60, sum(samples)", known=""
    )
    with connection.cursor() as cursor:
        for statement in (HOURS, customers, whole):
            cursor.execute(statement, values)


def agree(site: Site, month: date, *, first: bool) -> None:
    """A contract for each customer with machines at the site."""
    customers = User.objects.filter(role=Role.CLIENT, miners__site=site).distinct().order_by("email")
    for number, client in enumerate(customers):
        if not Contract.objects.filter(client=client, site=site).exists():
            create_contract(
                number=f"HC-{site.pk:02}{number + 1:02}",
                client=client,
                site=site,
                starts_on=month,
                terms=METERED if number == 0 else FLAT if first else PASSED_ON,
                by=None,
            )
