"""Figure 10: what a dead endpoint costs the others.

100,000 deliveries wait for an endpoint that refuses every connection. Goal: a fresh event reaches a healthy endpoint, over real
HTTP on loopback, within 5 s; the fan-out of 100,000 events is printed beside it.
"""

import argparse
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from _farm import report, setup_django, throwaway_database

BACKLOG, ROUNDS = 100_000, 5
GOAL_S = 5.0


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        met = measure()
    return 0 if met else 1


class Receiver:
    """Answers 200 and remembers when it was asked."""

    def __init__(self) -> None:
        self.heard = threading.Event()
        this = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()
                this.heard.set()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.target = f"127.0.0.1:{self.server.server_port}"


def measure() -> bool:
    from django.conf import settings
    from django.db import connection, transaction

    from accounts.models import User
    from events.dispatch import drain
    from events.models import EventDelivery
    from events.outbox import Fact, publish_many
    from events.sinks.endpoints import create_endpoint

    receiver = Receiver()
    settings.WEBHOOK_ALLOWED_TARGETS = ["127.0.0.1:9", receiver.target]
    example = {"serial_number": "S", "site_id": 1, "at": "2026-11-23T00:00:00+00:00", "last_reading_at": None}

    def offline(numbers: range) -> None:
        with transaction.atomic():
            publish_many(
                "miner.offline",
                [Fact(f"miner:{n}", example | {"miner_id": n, "error": "timeout"}) for n in numbers],
            )

    staff = User.objects.create_user("bench@farm.example", role="owner")
    create_endpoint(staff.pk, "webhook", "http://127.0.0.1:9/dead", [], by=staff.pk)
    for first in range(0, BACKLOG, 10_000):
        offline(range(first, first + 10_000))
    started = time.perf_counter()
    while EventDelivery.objects.count() < BACKLOG:
        drain(batch=1000, seconds=10)
    fan_out_s = time.perf_counter() - started
    create_endpoint(staff.pk, "webhook", f"http://{receiver.target}/well", [], by=staff.pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE event_deliveries, outbox_events")
    delays = []
    for number in range(ROUNDS):
        with connection.cursor() as cursor:  # the dead one is always about to be tried again
            cursor.execute("UPDATE event_endpoints SET held_until = NULL")
        receiver.heard.clear()
        offline(range(BACKLOG + number, BACKLOG + number + 1))
        started = time.perf_counter()
        while not receiver.heard.is_set():
            drain(seconds=1)
        delays.append(time.perf_counter() - started)
    waiting = EventDelivery.objects.filter(status="pending").count()
    return report(
        "10 fresh event beside 100,000 for a dead endpoint, s",
        value=max(delays),
        goal=GOAL_S,
        pending=waiting,
        fan_out_events_per_s=round(BACKLOG / fan_out_s),
    )


if __name__ == "__main__":
    sys.exit(main())
