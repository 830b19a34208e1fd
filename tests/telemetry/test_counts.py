"""What storing and reading cost PostgreSQL, in counts that are the same on every machine: bytes of log, buffers, partitions.

The timings beside them are printed by benchmarks/.
"""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from hosting.models import Miner, MinerLatest
from hosting.telemetry import series
from hosting.telemetry.partitions import create_partition, maintain_partitions
from hosting.telemetry.rollups import roll_up
from hosting.telemetry.store import Row, SweepFacts, encode, history_copy, store_sweep
from minefarm.lib.clock import database_minute, database_now
from tests.plans import counted
from tests.telemetry.synthetic import fill

MINERS = 300


def rows(number: int) -> list[Row]:
    return [
        Row(
            pk, owner, None, hashrate_centi_ths=9_000 + (pk * 7 + number) % 3000, temperature_centi_c=6_000 + pk % 2000,
            power_centi_w=300_000 + (pk * 13 + number) % 50_000, fan_rpm=(5000,) * 4, uptime_s=number * 60,
        )
        for pk, owner in Miner.objects.order_by("pk").values_list("pk", "client_id")
    ]  # fmt: skip


@pytest.fixture
def fleet(site, client_a):
    Miner.objects.bulk_create(
        Miner(
            serial_number=f"C{n:04}",
            site=site,
            client=client_a if n % 10 == 0 else None,
            cgminer_ip=f"10.3.{n // 250}.{n % 250 + 1}",
            cgminer_enabled=True,
            status="offline" if n % 50 == 0 else "active",
        )
        for n in range(MINERS)
    )
    Miner.objects.update(created_at=database_now() - timedelta(days=40))
    return list(Miner.objects.order_by("pk"))


def own_wal() -> int:
    """Bytes that this connection has logged."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # at the end of that statement
        cursor.execute("SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_a_reading_costs_less_than_200_bytes_of_log_after_each_checkpoint(site, fleet):
    """The goal of a full day with a checkpoint every five sweeps; this day holds four hours, and a checkpoint comes every two."""
    if connection.pg_version < 180_000:
        pytest.skip("only PostgreSQL 18 counts the log of one connection")
    now = database_now().replace(hour=6, minute=0, second=0, microsecond=0)
    create_partition(now.date())
    fill(fleet, now - timedelta(hours=4), now)
    spent = 0
    for number in range(10):
        encoded = encode(now + timedelta(minutes=number), rows(number))
        if number % 2 == 0:
            with connection.cursor() as cursor:
                cursor.execute("CHECKPOINT")
        before = own_wal()
        with connection.cursor() as cursor, cursor.cursor.copy(history_copy(now + timedelta(minutes=number))) as copy:
            copy.write(encoded.history)
        spent += own_wal() - before
    assert 60 < spent / 10 / MINERS < 200


@pytest.fixture
def days(site, fleet):
    """A farm with two days of readings, hours and days of them, and a minute that is now."""
    today = database_now().replace(hour=0, minute=0, second=0, microsecond=0)
    for back in (1, 2):
        fill(fleet, today - timedelta(days=back), today - timedelta(days=back - 1), every="10 minutes")
    maintain_partitions(days_ahead=2)
    roll_up(today - timedelta(days=2), today)
    store_sweep(SweepFacts(site.pk, database_minute(), {}, 1.0, 1.0), rows(1))
    with connection.cursor() as cursor:
        for table in ("miner_telemetry", "miner_latest", "hosting_miners", "miner_telemetry_hour"):
            cursor.execute(f"ANALYZE {table}")
    return today


@pytest.mark.django_db
def test_pages_and_charts_open_only_the_days_that_their_range_needs(days, site, operator, client_a, fleet):
    staff, portal = Client(), Client()
    staff.force_login(operator)
    portal.force_login(client_a)
    until = days - timedelta(minutes=1)

    def get(client: Client, path: str) -> None:
        assert client.get(path).status_code == 200

    asked = {
        "newest": (lambda: list(MinerLatest.objects.values()[:100]), 0, 100),
        "offline": (lambda: list(Miner.objects.filter(status="offline").values_list("pk")), 0, 100),
        "site 30 d": (lambda: series.chart_for_site(site.pk, until=until, hours=720), 0, 150),
        "machine 24 h": (lambda: series.chart_for_miner(fleet[0].pk, until=until, hours=24), 2, 1500),
        "machine 30 d": (lambda: series.chart_for_miner(fleet[0].pk, until=until, hours=720), 1, 1500),
        "staff's list": (lambda: get(staff, "/miners/"), 0, 2500),
        "site's page": (lambda: get(staff, f"/sites/{site.pk}/"), 0, 2500),
        "customer's home": (lambda: get(portal, "/miners/"), 0, 2500),
        "api readings": (lambda: get(staff, "/api/v1/telemetry/?page_size=100"), 2, 1500),
    }
    for name, (ask, partitions, buffers) in asked.items():
        ask()  # a session, and caches of the process
        with counted() as cost:
            ask()
        assert len(cost.partitions) <= partitions, name
        assert cost.partitions or partitions < 2, name  # raw readings are looked for in a day at least
        assert cost.buffers <= buffers, (name, cost.buffers)
