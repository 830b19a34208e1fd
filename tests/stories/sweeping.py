"""A collector whose minutes pass quickly: `python -m tests.stories.sweeping SITE FIRST_MINUTE COUNT PERIOD_S`."""

import sys
import time
from datetime import datetime, timedelta

import django


def main(site: str, first: str, count: str, period_s: str) -> None:
    django.setup()
    from events.models import LockLost
    from hosting.telemetry.collector import SweepBusy, collect

    for number in range(int(count)):
        began = time.monotonic()
        minute = datetime.fromisoformat(first) + timedelta(minutes=number)
        try:
            done = collect(int(site), minute)
            print(done.line() if done else "unknown site", flush=True)
        except (SweepBusy, LockLost) as refused:
            print(f"{minute:%H:%M} refused: {refused}", flush=True)
        time.sleep(max(0.0, began + float(period_s) - time.monotonic()))


main(*sys.argv[1:])
