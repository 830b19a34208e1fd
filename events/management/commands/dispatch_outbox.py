import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import CommandParser
from django.db import InterfaceError, OperationalError, connection

from events.claims import BATCH
from events.dispatch import drain
from events.wakeup import Wakeup
from minefarm.lib.command import FarmCommand

log = logging.getLogger(__name__)

BUSY_POLL_S, IDLE_POLL_S, AWAY_S = 1.0, 2.0, 3.0
ONE_PASS_S = 24 * 3600.0


class Command(FarmCommand):
    help = "Carry published events to their consumers: until nothing is due, or with --loop until SIGTERM."
    example = "dispatch_outbox --loop"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--loop", action="store_true", help="go on, woken by NOTIFY and by a poll every 1 to 2 s")
        parser.add_argument(
            "--batch", type=int, default=BATCH, choices=range(1, 1001), metavar="1-1000", help="default %(default)s"
        )

    def handle(self, *, loop: bool, batch: int, json: bool, **_options: Any) -> None:
        stopping = threading.Event()

        def stop(_number: int, _frame: FrameType | None) -> None:
            stopping.set()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            total = run(batch, stopping) if loop else drain(batch=batch, seconds=ONE_PASS_S, stopped=stopping.is_set)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self.emit({"handled": total}, f"{total} events and deliveries handled", as_json=json)


def run(batch: int, stopping: threading.Event) -> int:
    """Dispatch until told to stop; the current batch is finished first. A database that is away is waited for."""
    total = 0
    wakeup = Wakeup()
    try:
        while not stopping.is_set():
            try:
                handled = drain(batch=batch, stopped=stopping.is_set)
                total += handled
                if not stopping.is_set():
                    wakeup.wait(BUSY_POLL_S if handled else IDLE_POLL_S)
            except (OperationalError, InterfaceError) as error:
                log.error("the database does not answer, next try in %.0f s: %s", AWAY_S, error)  # noqa: TRY400
                connection.close()
                wakeup.close()
                stopping.wait(AWAY_S)
    finally:
        wakeup.close()
    return total
