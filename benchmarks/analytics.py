"""A year of 15-minute rows (35,040): importing it against a bare COPY, its indicators against the bare library, in one run.

Goals: import in under 30 s, indicators in under 10 s on two cores. The ratios say what of it is ours.
"""

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _farm import report, setup_django, throwaway_database

ROWS = 365 * 96
IMPORT_S, INDICATORS_S = 30.0, 10.0


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database(), tempfile.TemporaryDirectory() as folder:
        met = measure(Path(folder) / "year.csv")
    return 0 if met else 1


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time, and CPU time of this process: on a busy machine the first tells more of the others."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, round(time.process_time() - cpu, 2)


def measure(file: Path) -> bool:
    from django.core.management import call_command
    from talipp.indicators import BB, EMA, MACD, RSI

    from analytics.calculation import calculate_indicators
    from analytics.models import TechnicalIndicator

    closes = write_year(file)

    def bare_library() -> None:
        for indicator in (RSI(14), EMA(12), EMA(26), MACD(12, 26, 9), BB(20, 2)):
            for close in closes:
                indicator.add(close)

    def imported() -> None:
        call_command("import_market_history", str(file), "--json", stdout=io.StringIO())

    copy_s, _ = seconds(lambda: bare_copy(file))
    import_s, import_cpu_s = seconds(imported)
    again_s, _ = seconds(imported)
    library_s, library_cpu_s = seconds(bare_library)
    indicators_s, indicators_cpu_s = seconds(calculate_indicators)
    assert TechnicalIndicator.objects.count() == ROWS
    return all(
        [
            report(
                "market 1: import of a year, s",
                value=import_s,
                goal=IMPORT_S,
                rows=ROWS,
                bare_copy_s=round(copy_s, 3),
                ratio=round(import_s / copy_s, 1),
                again_s=round(again_s, 2),
                cpu_s=import_cpu_s,
            ),
            report(
                "market 2: indicators of a year, s",
                value=indicators_s,
                goal=INDICATORS_S,
                rows=ROWS,
                bare_library_s=round(library_s, 2),
                ratio=round(indicators_s / library_s, 1),
                cpu_s=indicators_cpu_s,
                library_cpu_s=library_cpu_s,
            ),
        ]
    )


def write_year(file: Path) -> list[float]:
    """A random walk as CSV; its closes."""
    chance, price, closes = random.Random(7), 90_000.0, []
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with file.open("w") as lines:
        lines.write("time,btc_price,network_difficulty,block_height,fees_btc,volume_24h\n")
        for number in range(ROWS):
            price *= 1 + chance.gauss(0, 0.002)
            closes.append(round(price, 2))
            at = start + timedelta(minutes=15 * number)
            lines.write(
                f"{at.isoformat()},{price:.2f},{1e14 + number * 1e8:.2f},{877_000 + number * 3 // 2},0.05,1e9\n"
            )
    return closes


def bare_copy(file: Path) -> None:
    """What PostgreSQL itself needs for the same file."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bare (at timestamptz UNIQUE, price numeric(12,2), difficulty numeric(20,2), height integer,"
            " fees numeric(12,8), volume numeric(15,2))"
        )
        with cursor.cursor.copy("COPY bare FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(file.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
