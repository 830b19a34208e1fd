"""How long one evaluation of the alert rules takes on 6,000 machines: when all is well, when many are not, when a site is dark.

Goal: 300 ms each.
"""

import argparse
import sys
import time
from datetime import datetime, timedelta

from _farm import report, setup_django, throwaway_database

MINERS, GOAL_MS = 6000, 300


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        met = measure()
    return 0 if met else 1


def measure() -> bool:
    from hosting.alerts import watch
    from hosting.models import Alert, Miner, MinerModel, Site
    from hosting.telemetry.store import Row, SweepFacts, store_sweep
    from minefarm.lib.clock import database_minute

    site = Site.objects.create(name="bench")
    model = MinerModel.objects.get(name="S19 Pro")
    Miner.objects.bulk_create(
        Miner(
            serial_number=f"B{n}",
            site=site,
            miner_model=model,
            cgminer_ip=f"10.0.{n // 250}.{n % 250 + 1}",
            cgminer_enabled=True,
        )
        for n in range(MINERS)
    )
    ids = list(Miner.objects.order_by("pk").values_list("pk", flat=True))
    clock = {"now": database_minute() - timedelta(hours=6)}
    watch.database_now = lambda: clock["now"] + timedelta(seconds=30)  # type: ignore[attr-defined]

    def row(number: int, down: int, low: int) -> Row:
        if number % 100 < down:
            return Row(ids[number], None, "timeout")
        rate = 6_000 if number % 100 < down + low else 11_000
        return Row(ids[number], None, None, rate, rate, 7_000, 325_000, fan_rpm=(6000,) * 4)

    def minutes(count: int, *, down: int = 0, low: int = 0) -> list[float]:
        took = []
        for _ in range(count):
            clock["now"] += timedelta(minutes=1)
            minute: datetime = clock["now"]
            store_sweep(SweepFacts(site.pk, minute, {}, 1, 1), [row(n, down, low) for n in range(MINERS)])
            started = time.perf_counter()
            watch.watch_fleet()
            took.append((time.perf_counter() - started) * 1000)
        return took

    met = report("alerts, all well", value=max(minutes(5)[1:]), goal=GOAL_MS)
    met &= report("alerts, 5 % down and 10 % low", value=max(minutes(13, down=5, low=10)), goal=GOAL_MS)
    met &= report("alerts, a dark site", value=max(minutes(8, down=100)), goal=GOAL_MS, alerts=Alert.objects.count())
    met &= report("alerts, it comes back", value=max(minutes(4)), goal=GOAL_MS)
    return met


if __name__ == "__main__":
    sys.exit(main())
