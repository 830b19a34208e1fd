"""Figures 7 to 9: a farm of 6,000 machines with one day of readings, and then with four.

Pages, charts and the API must touch as much of the database after four days as after one (7: buffers of 8 KiB; latest and
offline <= 100, a site's 30 days <= 150), open only the days that their range needs (8), and a day must go in a fifteenth of the
time that DELETE and VACUUM take (9). Needs some 6 GB of disk and ten minutes; `--miners 600` shows the same in one.
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from _farm import median_ms, report, setup_django, throwaway_database

from tests.plans import Cost, counted

DAYS = 4
MONTH_OF_A_MACHINE = "machine chart, 30 days"
READINGS = """
INSERT INTO miner_telemetry (recorded_at, miner_id, power_estimated, hashrate, temperature, power_consumption, fan_speed)
SELECT minute, m.id, m.id %% 2 = 0, 95 + (m.id * 7 + extract(epoch FROM minute)::bigint / 60) %% 1000 / 100.0,
    60 + m.id %% 20, 3000 + (m.id * 13 + extract(epoch FROM minute)::bigint / 60) %% 500, 5000 + m.id %% 900
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 second', interval '1 minute') AS minute
CROSS JOIN (SELECT id FROM hosting_miners ORDER BY id) m
"""
SWEEPS = """
INSERT INTO telemetry_sweeps (site_id, minute, miners, stored, failed, rejected_values, wall_s, cpu_s)
SELECT %(site)s, minute, %(miners)s, %(miners)s, '{}', '{}', 1, 1
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 second', interval '1 minute') AS minute
"""
FIVE_MINUTES = """
INSERT INTO {group}_telemetry_5min ({owner}, bucket, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples,
    temperature_max_c)
SELECT {values}, bucket, 5, 5 * %(miners)s, 500.0 * %(miners)s, 16000.0 * %(miners)s, 0, 79
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 second', interval '5 minutes') AS bucket
"""
HOURS = """
INSERT INTO site_telemetry_hour (site_id, bucket, sweeps, swept, minutes, samples, hashrate_ths_sum, power_w_sum,
    estimated_samples, temperature_max_c, miners, period_s, kwh, estimated_miners, hashing_s, gap_s)
SELECT %(site)s, bucket, 60, 60 * %(miners)s, 60, 60 * %(miners)s, 6000.0 * %(miners)s, 192000.0 * %(miners)s, 0, 79,
    %(miners)s, 3600, 3.2 * %(miners)s, 0, 3600 * %(miners)s, 0
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 second', interval '1 hour') AS bucket
ON CONFLICT DO NOTHING
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=6000, help="default %(default)s")
    miners = parser.parse_args().miners
    setup_django()
    with throwaway_database():
        met = measure(miners)
    return 0 if all(met) else 1


def measure(miners: int) -> list[bool]:
    from django.conf import settings

    from minefarm.lib.clock import database_now

    settings.ALLOWED_HOSTS = ["*"]
    farm = Farm(miners, database_now().replace(hour=0, minute=0, second=0, microsecond=0))
    asked = farm.questions()
    costs: dict[str, dict[int, tuple[Cost, float]]] = {name: {} for name in asked}
    for days in range(1, DAYS + 1):
        farm.load_day(farm.today - timedelta(days=days))
        if days in {1, DAYS}:
            farm.vacuum()
            for name, (ask, _, _) in asked.items():
                ask()  # caches of the process fill
                with counted() as cost:
                    ask()
                costs[name][days] = cost, median_ms(ask, 5)
    met = []
    for name, (_, goal, partitions) in asked.items():
        (first, first_ms), (last, last_ms) = costs[name][1], costs[name][DAYS]
        facts: dict[str, Any] = {"days": f"1 to {DAYS}", "ms": [round(first_ms, 1), round(last_ms, 1)]}
        facts["queries"] = [first.queries, last.queries]
        # A month's chart of one machine finds more of its month after four days: the same for each.
        per_day = DAYS if name == MONTH_OF_A_MACHINE else 1
        ratio = last.buffers / max(1, first.buffers) / per_day
        per = ", per day in it" if per_day > 1 else ""
        met.append(report(f"7 {name}: buffers after {DAYS} days / after 1{per}", value=ratio, goal=1.1, **facts))
        if goal:
            met.append(report(f"7 {name}: buffers", value=last.buffers, goal=goal))
        met.append(report(f"8 {name}: partitions opened", value=len(last.partitions), goal=partitions))
    met.append(farm.drop_a_day())
    return met


class Farm:
    """One site of a throw-away farm, and questions about it."""

    def __init__(self, miners: int, today: datetime) -> None:
        from accounts.models import User
        from hosting.models import Miner, MinerModel, Site

        self.miners, self.today = miners, today
        self.site = Site.objects.create(name="bench", capacity_mw=25)
        self.operator = User.objects.create(email="operator@bench.example", role="user", name="operator")
        self.client = User.objects.create(email="client@bench.example", role="client", name="client")
        model = MinerModel.objects.first()
        Miner.objects.bulk_create(
            Miner(
                serial_number=f"B{n:05}",
                site=self.site,
                client=self.client if n < 200 else None,
                miner_model=model,
                cgminer_ip=f"10.{n // 62_500}.{n // 250 % 250}.{n % 250 + 1}",
                cgminer_enabled=True,
                status="offline" if n % 100 == 0 else "active",
            )
            for n in range(miners)
        )
        Miner.objects.update(created_at=today - timedelta(days=60))
        self.fill_sums(today - timedelta(days=31), today + timedelta(days=1))
        self.sweep_now()

    def sql(self, statement: str, **values: Any) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
            cursor.execute(statement, {"site": self.site.pk, "miners": self.miners, "client": self.client.pk} | values)

    def fill_sums(self, since: datetime, until: datetime) -> None:
        self.sql(FIVE_MINUTES.format(group="site", owner="site_id", values="%(site)s"), since=since, until=until)
        both = {"group": "client", "owner": "client_id, site_id", "values": "%(client)s, %(site)s"}
        self.sql(FIVE_MINUTES.format(**both), since=since, until=until)
        self.sql(HOURS, since=since, until=self.today)

    def sweep_now(self) -> None:
        from hosting.models import Miner
        from hosting.telemetry.partitions import maintain_partitions
        from hosting.telemetry.store import Row, SweepFacts, store_sweep
        from minefarm.lib.clock import database_minute

        maintain_partitions(days_ahead=2)
        owners = Miner.objects.order_by("pk").values_list("pk", "client_id", "status")
        rows = [
            Row(pk, owner, "timeout")
            if status == "offline"
            else Row(
                pk, owner, None, hashrate_centi_ths=10_000, power_centi_w=320_000, fan_rpm=(5000, 5000, 5000, 5000)
            )
            for pk, owner, status in owners
        ]
        for minute in range(3):
            store_sweep(SweepFacts(self.site.pk, database_minute() - timedelta(minutes=minute), {}, 1.0, 1.0), rows)

    def load_day(self, start: datetime) -> None:
        from hosting.telemetry.partitions import create_partition, maintain_partitions
        from hosting.telemetry.rollups import roll_up

        began = time.monotonic()
        create_partition(start.date())
        end = start + timedelta(days=1)
        self.sql(READINGS, since=start, until=end)
        self.sql(SWEEPS, since=start, until=end)
        maintain_partitions(days_ahead=2)  # the index of a day that is over
        roll_up(start, end)
        print(
            f"# {start:%Y-%m-%d}: {self.miners * 1440:,} readings, index, hours and days in {time.monotonic() - began:.0f} s",
            file=sys.stderr,
        )

    def vacuum(self) -> None:
        self.sql("VACUUM ANALYZE")

    def questions(self) -> dict[str, tuple[Callable[[], object], float | None, int]]:
        """What is asked, its goal in buffers if telemetry.md sets one, and how many days its range needs at most."""
        from django.test import Client

        from hosting.models import Miner, MinerLatest
        from hosting.telemetry import series

        staff, portal = Client(), Client()
        staff.force_login(self.operator)
        portal.force_login(self.client)
        miner = Miner.objects.filter(client=self.client).order_by("pk")[100]
        until = self.today - timedelta(minutes=1)

        def page(client: Client, path: str) -> Callable[[], object]:
            def get() -> None:
                answer = client.get(path)
                if answer.status_code != 200:
                    raise SystemExit(f"{path} answered {answer.status_code}")

            return get

        latest = MinerLatest.objects.filter(miner__site=self.site).order_by("miner_id")
        offline = Miner.objects.filter(status="offline")
        return {
            "latest of 100 machines": (lambda: list(latest.values()[:100]), 100, 0),
            "offline machines": (lambda: list(offline.values_list("pk", "serial_number")), 100, 0),
            "offline machines, last readings": (lambda: list(offline.values_list("pk", "latest__seen_at")), None, 0),
            "site chart, 30 days": (
                lambda: series.chart_for_site(self.site.pk, until=until, hours=720),
                150,
                0,
            ),
            "site chart, 24 h": (lambda: series.chart_for_site(self.site.pk, until=until, hours=24), None, 0),
            "machine chart, 24 h": (lambda: series.chart_for_miner(miner.pk, until=until, hours=24), None, 2),
            MONTH_OF_A_MACHINE: (lambda: series.chart_for_miner(miner.pk, until=until, hours=720), None, 1),
            "list page of staff": (page(staff, "/miners/"), None, 0),
            "site page": (page(staff, f"/sites/{self.site.pk}/"), None, 0),
            "home of a customer": (page(portal, "/miners/"), None, 0),
            "API, 100 machines": (page(staff, "/api/v1/miners/?page_size=100"), None, 0),
            "API, newest 100 readings": (page(staff, "/api/v1/telemetry/?page_size=100"), None, 2),
        }

    def drop_a_day(self) -> bool:
        """Detach and drop a day as retention does, against DELETE and VACUUM of another of the same size."""
        from django.db import connection

        from hosting.telemetry.partitions import partition_name
        from hosting.telemetry.retire import Day, _detach

        by_rows = Day((self.today - timedelta(days=DAYS - 1)).date())
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM miner_telemetry WHERE recorded_at >= %s AND recorded_at < %s", [by_rows.start, by_rows.end]
            )
            cursor.execute(f"VACUUM {partition_name(by_rows.day)}")
        slow_s = time.perf_counter() - began
        whole: date = (self.today - timedelta(days=DAYS)).date()
        began = time.perf_counter()
        _detach(whole)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {partition_name(whole)}")
        fast_s = time.perf_counter() - began
        return report(
            "9 dropping a day / DELETE + VACUUM",
            value=fast_s / slow_s,
            goal=1 / 15,
            ms=[round(fast_s * 1000), round(slow_s * 1000)],
        )


if __name__ == "__main__":
    sys.exit(main())
