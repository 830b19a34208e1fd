"""Figure 12: the API's list of 100 machines, whole request, against the same JSON built by PostgreSQL in one query.

Goal: at most 4 times, and the same number of queries however many machines there are.
"""

import argparse
import sys
from datetime import timedelta

from _farm import median_ms, report, setup_django, throwaway_database

MINERS, RUNS = 6000, 60
SQL = """
SELECT json_agg(row_to_json(listed)) FROM (
    SELECT m.id, m.serial_number, m.status,
        json_build_object('id', k.id, 'name', k.name, 'manufacturer', k.manufacturer) AS model,
        json_build_object('id', s.id, 'name', s.name) AS site, json_build_object('id', u.id, 'email', u.email) AS client,
        m.purchase_date, m.warranty_expiry, m.cgminer_ip, m.cgminer_port, m.cgminer_enabled, row_to_json(l) AS latest,
        m.created_at, m.updated_at
    FROM hosting_miners m LEFT JOIN miner_models k ON k.id = m.miner_model_id LEFT JOIN hosting_sites s ON s.id = m.site_id
    LEFT JOIN users u ON u.id = m.client_id LEFT JOIN miner_latest l ON l.miner_id = m.id
    ORDER BY m.id DESC LIMIT 100
) listed
"""


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        met = measure()
    return 0 if met else 1


def measure() -> bool:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User
    from hosting.models import Miner, MinerModel, Site
    from hosting.telemetry.store import Row, SweepFacts, store_sweep
    from minefarm.lib.clock import database_minute

    staff = User.objects.create(email="staff@bench.example", role="owner")
    owner = User.objects.create(email="client@bench.example", role="client")
    site, model = Site.objects.create(name="bench"), MinerModel.objects.get(name="S19 Pro")
    Miner.objects.bulk_create(
        Miner(
            serial_number=f"B{n}",
            site=site,
            client=owner,
            miner_model=model,
            cgminer_ip=f"10.0.{n // 250}.{n % 250 + 1}",
        )
        for n in range(MINERS)
    )
    rows = [
        Row(pk, owner.pk, None, hashrate_centi_ths=11_000, power_centi_w=325_000, fan_rpm=(6000, 5880), uptime_s=1)
        for pk in Miner.objects.values_list("pk", flat=True)
    ]
    store_sweep(SweepFacts(site.pk, database_minute() - timedelta(minutes=1), {}, 1.0, 0.2), rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # a farm has statistics within a minute
    browser = Client(HTTP_HOST="localhost")
    browser.force_login(staff)

    def by_sql() -> None:
        with connection.cursor() as cursor:
            cursor.execute(SQL)
            cursor.fetchone()

    def by_api() -> None:
        answer = browser.get("/api/v1/miners/?page_size=100")
        assert len(answer.json()["results"]) == 100

    limit_ms, ours_ms = median_ms(by_sql, RUNS), median_ms(by_api, RUNS)
    with CaptureQueriesContext(connection) as queries:
        by_api()
    facts = {"limit_ms": round(limit_ms, 2), "ms": round(ours_ms, 2), "queries": len(queries)}
    return report("12 API list of 100 / JSON built in SQL", value=ours_ms / limit_ms, goal=4, **facts)


if __name__ == "__main__":
    sys.exit(main())
