"""Figures 5 and 6: write-ahead log per reading, and bytes per reading on disk, of a day that is nearly full.

A checkpoint every five sweeps, as a busy server makes them: after each, a page that is touched is logged whole, which is what a
key by machine would do 6,000 times a minute. Goals: 200 bytes of log per reading, 105 bytes of disk with all indexes. The log of
the whole store transaction (latest values, sums, counts) is printed beside it. Takes two minutes and 1 GB of disk.
"""

import argparse
import sys
from datetime import timedelta

from _farm import report, setup_django, throwaway_database
from days import READINGS, Farm

SWEEPS, CHECKPOINT_EVERY = 20, 5
# Bytes that this connection has logged (PostgreSQL 18): what else runs on the server does not count.
OWN_WAL = "SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=6000, help="default %(default)s")
    miners = parser.parse_args().miners
    setup_django()
    with throwaway_database():
        met = measure(miners)
    return 0 if all(met) else 1


def measure(miners: int) -> list[bool]:
    from django.db import connection

    from hosting.telemetry import store
    from hosting.telemetry.partitions import create_partition, partition_name
    from minefarm.lib.clock import database_now

    farm = Farm(miners, database_now().replace(hour=0, minute=0, second=0, microsecond=0))
    start = farm.today - timedelta(days=1)
    full_until = start + timedelta(minutes=1440 - 2 * SWEEPS)
    create_partition(start.date())
    farm.sql("UPDATE miner_latest SET attempted_at = %(start)s, seen_at = %(start)s", start=start)  # it learns again
    farm.sql(READINGS, since=start, until=full_until)
    farm.vacuum()
    if connection.pg_version < 180_000:
        raise SystemExit(
            "Figure 5 is measured with PostgreSQL 18: earlier ones do not count the log of one connection."
        )
    from hosting.models import Miner

    owners = list(Miner.objects.order_by("pk").values_list("pk", "client_id"))

    def own_wal() -> int:
        farm.sql("SELECT pg_stat_force_next_flush()")  # at the end of that statement
        return value(OWN_WAL)

    def value(sql: str, *parameters: object) -> int:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return int(cursor.fetchone()[0])

    def logged(first: int, *, whole: bool) -> float:
        """Bytes of log per reading over the sweeps from `first` on."""
        spent = 0
        for number in range(SWEEPS):
            minute = full_until + timedelta(minutes=first + number)
            rows = [
                store.Row(
                    pk,
                    owner,
                    None,
                    hashrate_centi_ths=9_000 + (pk * 7 + number) % 3000,
                    temperature_centi_c=6_000 + (pk + number * 31) % 2000,
                    power_centi_w=300_000 + (pk * 13 + number) % 50_000,
                    power_estimated=pk % 2 == 0,
                    fan_rpm=(4000 + (pk + number) % 2000,) * 4,
                    uptime_s=number * 60,
                )
                for pk, owner in owners
            ]
            encoded = store.encode(minute, rows)
            if number % CHECKPOINT_EVERY == 0:
                farm.sql("CHECKPOINT")
            before = own_wal()
            if whole:
                store.store_encoded(store.SweepFacts(farm.site.pk, minute, {}, 1.0, 1.0), encoded)
            else:
                with connection.cursor() as cursor, cursor.cursor.copy(store.history_copy(minute)) as copy:
                    copy.write(encoded.history)
            spent += own_wal() - before
        return spent / SWEEPS / miners

    bare, whole = logged(0, whole=False), logged(SWEEPS, whole=True)
    name = partition_name(start.date())
    size = value("SELECT pg_total_relation_size(%s)", name) / value(f"SELECT count(*) FROM {name}")
    return [
        report(
            "5 WAL bytes per reading, full day, checkpoint every 5 sweeps",
            value=bare,
            goal=200,
            whole_transaction=round(whole),
        ),
        report("6 bytes per reading with indexes, hot day", value=size, goal=105),
    ]


if __name__ == "__main__":
    sys.exit(main())
