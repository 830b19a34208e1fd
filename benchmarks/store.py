"""Figure 4: storing 6,000 readings against a bare COPY of the same bytes, in one run.

Goals: COPY into miner_telemetry <= 2.5 times, the whole store transaction <= 7 times, while every machine has its boards in
miner_latest. Beside them, without a goal: what the closer look at a fifth of the machines costs each minute.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from _farm import median_ms, report, setup_django, throwaway_database

MINERS, RUNS = 6000, 15


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        met = measure()
    return 0 if met else 1


def measure() -> bool:
    from django.db import connection

    from accounts.models import User
    from hosting.models import Miner, Site
    from hosting.telemetry import store
    from hosting.telemetry.partitions import create_partition
    from minefarm.lib.clock import database_minute

    site = Site.objects.create(name="bench")
    clients = [User.objects.create(email=f"client-{n}@bench.example", role="client") for n in range(20)]
    Miner.objects.bulk_create(
        Miner(serial_number=f"B{n}", site=site, client=clients[n % 20], cgminer_ip=f"10.0.{n // 250}.{n % 250 + 1}")
        for n in range(MINERS)
    )
    owners = list(Miner.objects.order_by("pk").values_list("pk", "client_id"))
    chance = random.Random(4)
    start = database_minute() - timedelta(hours=12)
    minute = iter(range(1, 10_000))

    def rows() -> list[store.Row]:
        return [
            store.Row(
                pk,
                owner,
                None,
                hashrate_centi_ths=chance.randint(9_000, 12_000),
                hashrate_avg_centi_ths=chance.randint(9_000, 12_000),
                temperature_centi_c=chance.randint(6_000, 9_000),
                power_centi_w=chance.randint(300_000, 350_000),
                power_estimated=pk % 2 == 0,
                fan_rpm=(chance.randint(4000, 6000),) * 4,
                uptime_s=chance.randint(0, 10**6),
                accepted=chance.randint(0, 10**5),
                rejected=1,
                hardware_errors=2,
            )
            for pk, owner in owners
        ]

    sweeps = [rows() for _ in range(4)]

    def next_minute() -> datetime:
        return start + timedelta(minutes=next(minute))

    streams = {}

    def bare() -> None:
        with connection.cursor() as cursor, cursor.cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(streams["bare"])

    def history() -> None:
        with connection.cursor() as cursor, cursor.cursor.copy(store.history_copy(at)) as copy:
            copy.write(streams["history"].pop())

    def whole() -> None:
        store.store_encoded(*prepared.pop())

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bare (recorded_at timestamptz, miner_id integer, power_estimated boolean, hashrate numeric(10,2),"
            " temperature numeric(5,2), power_consumption numeric(10,2), fan_speed numeric(10,2))"
        )
    at = next_minute()
    create_partition(at.date())
    create_partition((at + timedelta(hours=12)).date())
    streams["bare"] = store.encode(at, sweeps[0]).history
    limit_ms = median_ms(bare, RUNS)
    streams["history"] = [store.encode(next_minute(), sweeps[n % 4]).history for n in range(RUNS + 1)]
    history_ms = median_ms(history, RUNS)
    prepared = []
    for n in range(RUNS + 2):
        facts = store.SweepFacts(site.pk, next_minute(), {}, 1.0, 1.0)
        prepared.append((facts, store.encode(facts.minute, sweeps[n % 4])))
    prepared.reverse()
    whole()  # the first sweep of a farm inserts miner_latest; every later one updates it
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # a farm has statistics within a minute
    with connection.cursor() as cursor:
        cursor.execute("UPDATE miner_latest SET boards = %s::jsonb, details_at = now()", [json.dumps(boards())])
    whole_ms = median_ms(whole, RUNS)
    details_ms = median_ms(closer_look(owners, start, minute), RUNS)
    common = {"limit_ms": round(limit_ms, 2), "miners": MINERS}
    met = report(
        "4a COPY into miner_telemetry / bare COPY",
        value=history_ms / limit_ms,
        goal=2.5,
        **common,
        ms=round(history_ms, 2),
    )
    whole_met = report(
        "4b store transaction / bare COPY",
        value=whole_ms / limit_ms,
        goal=7,
        **common,
        ms=round(whole_ms, 2),
        details_ms=round(details_ms, 2),
    )
    return met and whole_met


def boards() -> list[dict[str, object]]:
    """Three of them, as they are stored."""
    from hosting.cgminer.reading import Board
    from hosting.telemetry.details import board_document

    return [board_document(Board(number, 36.52, 108, 110, 78.0, 63.5, 1204)) for number in (1, 2, 3)]


def closer_look(owners: "list[tuple[int, object]]", start: datetime, minute: "Iterator[int]") -> "Callable[[], object]":
    """Writing the boards of those machines whose turn it is; every call is the next minute."""
    from hosting.cgminer.client import PollResult
    from hosting.cgminer.reading import Board, Reading
    from hosting.telemetry.details import store_details

    told = [Board(number, 36.52, 108, 110, 78.0, 63.5, 1204) for number in (1, 2, 3)]
    results = [
        PollResult("10.0.0.1", 4028, Reading(boards=told, board_temperature_c=63.5), key=pk) for pk, _owner in owners
    ]
    return lambda: store_details(start + timedelta(days=1, minutes=next(minute)), results)


if __name__ == "__main__":
    sys.exit(main())
