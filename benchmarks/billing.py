"""A month of 50 customers with 100 machines each (3.7 million hours of the ledger): preview, issue with PDFs, verifying.

Goals: preview in under 20 s, issue in under 60 s on two cores. The ratio is to the bare sum of the same rows in PostgreSQL.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from _farm import report, setup_django, throwaway_database

PREVIEW_S, ISSUE_S = 20.0, 60.0
MONTH = date(2026, 10, 1)
ZONE = "Europe/Berlin"  # October has the long day
LEDGER = """
INSERT INTO miner_telemetry_hour (starts_at, period_s, miner_id, site_id, client_id, samples, hashrate_samples, hashrate_ths_sum,
    power_samples, power_w_sum, estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s)
SELECT hour, 3600, m.id, m.site_id, m.client_id, 60, 60, 60 * (100 + (m.id * 7 + extract(epoch FROM hour)::bigint / 3600) %% 13),
    60, 60 * 3200, 0, 60,
    round(3.2 + ((m.id * 31 + extract(epoch FROM hour)::bigint / 3600 * 17) %% 997) / 9973.0, 6), 'miner', 3600, 0
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS hour
CROSS JOIN hosting_miners m
"""
GROUPS = """
INSERT INTO {table} ({key}site_id, bucket, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples, miners, period_s,
    kwh, estimated_miners, hashing_s, gap_s{more})
SELECT {key}site_id, starts_at, 60, sum(samples), sum(hashrate_ths_sum), sum(power_w_sum), 0, count(*), 3600, sum(kwh), 0,
    sum(hashing_s), sum(gap_s){values}
FROM miner_telemetry_hour GROUP BY {key}site_id, starts_at
"""
BARE = "SELECT client_id, miner_id, sum(kwh) FROM miner_telemetry_hour GROUP BY 1, 2"
# Terms of five kinds, so that no rule is left out.
TERMS: tuple[dict[str, Any], ...] = (
    {"pricing": "metered", "rate_per_kwh": Decimal("0.071234"), "uptime_guarantee_pct": Decimal("99.5")},
    {"pricing": "nameplate", "rate_per_kwh": Decimal("0.068"), "rated_power_uplift_pct": Decimal(7)},
    {"pricing": "flat", "flat_per_miner": Decimal("145.50"), "tax_pct": Decimal(19)},
    {"pricing": "revenue_share", "flat_per_miner": Decimal(20), "revenue_share_pct": Decimal(15)},
    {"pricing": "pass_through", "rate_per_kwh": Decimal("0.009"), "minimum_kw": Decimal(300)},
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--miners", type=int, default=100, help="of each customer")
    asked = parser.parse_args()
    setup_django()
    with throwaway_database(), tempfile.TemporaryDirectory() as folder:
        met = measure(Path(folder), asked.clients, asked.miners)
    return 0 if met else 1


def seconds(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall time, and CPU time of this process."""
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - started, round(time.process_time() - cpu, 2)


def measure(folder: Path, clients: int, miners: int) -> bool:
    from django.conf import settings
    from django.db import connection

    from crm.billing.runs import issue_run, preview_run
    from crm.billing.verify import verify
    from crm.models import Invoice, UsageDay

    settings.INVOICE_DIR = folder
    rows = make_month(clients, miners)

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(BARE)
            cursor.fetchall()

    _, bare_s, _ = seconds(bare)
    preview, preview_s, preview_cpu_s = seconds(lambda: preview_run(MONTH))
    assert not preview.held, preview.held[0].holds
    issued, issue_s, issue_cpu_s = seconds(lambda: issue_run(MONTH, by=None))
    again, again_s, _ = seconds(lambda: issue_run(MONTH, by=None))
    wrong, verify_s, _ = seconds(lambda: [text for invoice in Invoice.objects.all() for text in verify(invoice)])
    assert issued.totals() == preview.totals() == again.totals()
    assert Invoice.objects.filter(status="sent").count() == clients
    assert not wrong, wrong[:3]
    facts = {"contracts": clients, "miners": clients * miners, "ledger_rows": rows, "bare_sum_s": round(bare_s, 2)}
    return all(
        [
            report(
                "billing 1: preview of a month, s",
                value=preview_s,
                goal=PREVIEW_S,
                **facts,
                cpu_s=preview_cpu_s,
                ratio_to_bare_sum=round(preview_s / bare_s, 1),
            ),
            report(
                "billing 2: issue with PDFs, s",
                value=issue_s,
                goal=ISSUE_S,
                **facts,
                cpu_s=issue_cpu_s,
                usage_days=UsageDay.objects.count(),
                pdfs=Invoice.objects.filter(pdf_sha256__isnull=False).count(),
                again_s=round(again_s, 2),
                verify_all_s=round(verify_s, 2),
            ),
        ]
    )


def make_month(clients: int, miners: int) -> int:
    """Customers, machines, contracts, market, prices, and the ledger's rows; how many of those."""
    from django.db import connection

    from accounts.models import User
    from analytics.models import BUCKET, MarketSnapshot, Origin
    from crm.billing.months import month_at
    from crm.contracts import create_contract
    from hosting.models import ElectricityPrice, Miner, MinerModel, Site

    site = Site.objects.create(name="Bench", time_zone=ZONE)
    model = MinerModel.objects.get(name="S19 Pro")
    span = month_at(MONTH, ZONE)
    for number in range(clients):
        client = User.objects.create_user(f"c{number}@farm.example", role="client", name=f"Customer {number}")
        Miner.objects.bulk_create(
            Miner(serial_number=f"C{number:03}-{at:04}", site=site, client=client, miner_model=model)
            for at in range(miners)
        )
        create_contract(
            number=f"C-{number:03}",
            client=client,
            site=site,
            starts_on=MONTH,
            terms=TERMS[number % len(TERMS)],
            by=None,
        )
    ElectricityPrice.objects.create(site=site, price_per_kwh=Decimal("0.0523"), valid_from=span.starts_at)
    MarketSnapshot.objects.bulk_create(
        MarketSnapshot(
            bucket=span.starts_at + at * BUCKET,
            created_at=span.starts_at + at * BUCKET,
            origin=Origin.LIVE,
            btc_price=100_000,
            hashprice_usd_per_ph_day=Decimal(f"{45 + at % 9}.{at % 1000:06}"),
        )
        for at in range((span.ends_at - span.starts_at) // BUCKET)
    )
    values = {"start": span.starts_at, "end": span.ends_at}
    with connection.cursor() as cursor:
        cursor.execute(LEDGER, values)
        rows = cursor.rowcount
        cursor.execute(GROUPS.format(table="client_telemetry_hour", key="client_id, ", more="", values=""))
        cursor.execute(
            GROUPS.format(table="site_telemetry_hour", key="", more=", sweeps, swept", values=", 60, 60 * count(*)")
        )
        cursor.execute("VACUUM ANALYZE miner_telemetry_hour")
    return rows


if __name__ == "__main__":
    sys.exit(main())
