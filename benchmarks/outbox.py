"""Figure 9: what a batch of claims is worth, and what 100,000 events that cannot go cost a fresh one.

Goals: one batch-1 round costs at least 25 times as much per event as one of batch 100; a fresh event leaves within 5 s while
100,000 wait for another attempt, and while 100,000 stand behind one that does.
"""

import argparse
import json
import statistics
import sys
import time

from _farm import report, setup_django, throwaway_database

EVENTS, SINGLE_ROUNDS, BACKLOG = 10_000, 400, 100_000


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        met = [measure_batches(), *measure_delay()]
    return 0 if all(met) else 1


def fill(count: int, key: str) -> None:
    """Publish `count` events: of one thing, or of one each where the key has a place for a number."""
    from django.db import connection, transaction

    from events.outbox import Fact, publish_many

    with transaction.atomic():
        publish_many("webhook.test", (Fact(key.format(n), {"message": str(n)}) for n in range(count)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE outbox_events")


def empty() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE outbox_events, outbox_aggregates, event_inbox CASCADE")


def measure_batches() -> bool:
    from events.dispatch import dispatch_once

    def per_event_s(batch: int, rounds: int) -> float:
        dispatch_once(batch)
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            assert dispatch_once(batch) == batch
            times.append(time.perf_counter() - started)
        return statistics.median(times) / batch

    fill(EVENTS, "miner:{}")
    # In turns, so that a busy machine slows both.
    single_s, many_s = [], []
    for _ in range(4):
        single_s.append(per_event_s(1, SINGLE_ROUNDS // 4))
        many_s.append(per_event_s(100, EVENTS // 100 // 5))
    empty()
    single, many = statistics.median(single_s), statistics.median(many_s)
    fill(EVENTS, "miner:1")
    one_thing = per_event_s(100, EVENTS // 100 // 2)
    empty()
    figures = {
        "batch_100_per_s": round(1 / many),
        "batch_1_per_s": round(1 / single),
        "one_thing_per_s": round(1 / one_thing),
    }
    ratio = single / many
    print(
        json.dumps({"figure": "9a claims and marks, batch 1 / batch 100", "value": round(ratio, 1), **figures}),
        flush=True,
    )
    return report("9a batch 100 / batch 1, share of 1/25", value=25 / ratio, goal=1)


def measure_delay() -> list[bool]:
    from django.db import connection

    from events.dispatch import dispatch_once
    from events.models import OutboxEvent

    def fresh_delay_s() -> float:
        started = time.perf_counter()
        fill_one("fresh:1")
        while OutboxEvent.objects.filter(aggregate_key="fresh:1", status="pending").exists():
            dispatch_once()
        return time.perf_counter() - started

    def later(where: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE outbox_events SET next_attempt_at = now() + interval '1 hour' WHERE {where}")
            cursor.execute("VACUUM ANALYZE outbox_events")

    met = []
    fill(BACKLOG, "miner:{}")
    later("true")
    met.append(report("9b fresh event beside 100,000 in backoff, s", value=fresh_delay_s(), goal=5))
    empty()
    fill(BACKLOG, "miner:1")
    later("id = (SELECT min(id) FROM outbox_events)")
    first, settled = fresh_delay_s(), None
    started = time.perf_counter()
    while dispatch_once():
        pass
    parking = time.perf_counter() - started
    fill_one("fresh:2")
    started = time.perf_counter()
    assert dispatch_once() == 1
    settled = time.perf_counter() - started
    facts = {"after_parking_s": round(settled, 3), "parking_s": round(parking, 2)}
    met.append(report("9b fresh event beside 100,000 behind one in backoff, s", value=first, goal=5, **facts))
    return met


def fill_one(key: str) -> None:
    from django.db import transaction

    from events.outbox import publish

    with transaction.atomic():
        publish("webhook.test", about=key, message="fresh")


if __name__ == "__main__":
    sys.exit(main())
