import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from curtailment.management.commands.run_curtailment import describe
from curtailment.passes import PassReport
from curtailment.passes.watching import Watchdog
from events.locks import DATABASE_AWAY
from minefarm.lib.command import FarmCommand

log = logging.getLogger(__name__)

EVERY_S = 10.0
AWAY_S = 3.0


class Command(FarmCommand):
    help = "Bring machines back whose plan is over, when nothing else does: looks once, or with --loop every 10 s."
    example = "curtailment_watchdog --loop"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--loop", action="store_true", help="until SIGTERM; without, look once, for a timer")
        parser.add_argument("--once", action="store_true", help="look once (default)")

    def handle(self, *, loop: bool, json: bool, **_options: Any) -> None:
        watchdog = Watchdog()
        report = guard(watchdog) if loop else watchdog.look()
        document = {"acted": report is not None} | (report.as_dict() if report else {})
        text = describe(report) if report else "nothing is overdue, or the passes are at it"
        self.emit(document, text, as_json=json)


def guard(watchdog: Watchdog) -> PassReport | None:
    """Look every 10 s until SIGTERM or SIGINT; returns the last report."""
    stopping, report = threading.Event(), None

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not stopping.is_set():
            wait_s = EVERY_S
            try:
                report = watchdog.look(stopped=stopping.is_set) or report
            except DATABASE_AWAY as error:
                log.error("the database does not answer, next look in %.0f s: %s", AWAY_S, error)  # noqa: TRY400
                connection.close()
                wait_s = AWAY_S
            except Exception:
                log.exception("a look failed; the next one begins anew")
                connection.close()
            stopping.wait(wait_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return report
