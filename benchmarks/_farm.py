"""What the benchmarks share: a throw-away database on the embedded servers, and the printing of ratios."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def setup_django() -> None:
    """Lease the embedded servers (unless DATABASE_URL and REDIS_URL are set) and load Django without a test database."""
    from minefarm.devstack import ensure_environment

    os.environ.setdefault("MINEFARM_ENV", "development")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    setup_django.lease = ensure_environment(profile="dev")  # type: ignore[attr-defined]  # held until the process ends
    import django

    django.setup()


@contextmanager
def throwaway_database() -> Iterator[None]:
    """A migrated database of its own, dropped afterwards."""
    from django.db import connection

    connection.settings_dict["TEST"]["NAME"] = f"benchmark_{os.getpid()}"  # beside tests and other benchmarks
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Median wall time of `runs` calls after one that is not counted, in milliseconds."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def report(figure: str, *, value: float, goal: float, **facts: object) -> bool:
    """Print one figure as a JSON line; whether it is met."""
    met = value <= goal
    print(json.dumps({"figure": figure, "value": round(value, 2), "goal": goal, "met": met, **facts}), flush=True)
    return met
