import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from curtailment.passes import PassReport, run_pass
from events.locks import DATABASE_AWAY
from minefarm.lib.command import FarmCommand

log = logging.getLogger(__name__)

PASS_FOR_S = 20.0  # under one lock, while there is something to do
IDLE_S, AWAY_S = 2.0, 3.0


class Command(FarmCommand):
    help = "Carry curtailment plans out: one pass over what is due, or with --loop until SIGTERM."
    example = "run_curtailment --loop"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--loop", action="store_true", help="go on every 2 s; a database that is away is waited for"
        )

    def handle(self, *, loop: bool, json: bool, **_options: Any) -> None:
        if loop:
            run_loop()
        report = PassReport() if loop else run_pass()
        document = report.as_dict()
        self.emit(document, describe(report), as_json=json)
        if report.faults:
            raise SystemExit(1)


def run_loop() -> None:
    """Passes until SIGTERM or SIGINT; the pass under way is finished first."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not stopping.is_set():
            stopping.wait(one_turn(stopping))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def one_turn(stopping: threading.Event) -> float:
    """A pass; returns how many seconds to wait until the next one."""
    try:
        run_pass(seconds=PASS_FOR_S, stopped=stopping.is_set)
    except DATABASE_AWAY as error:
        log.error("the database does not answer, next try in %.0f s: %s", AWAY_S, error)  # noqa: TRY400
        connection.close()
        return AWAY_S
    except Exception:
        log.exception("a pass failed; the next one goes on from the rows")
        connection.close()
        return AWAY_S
    return IDLE_S


def describe(report: PassReport) -> str:
    if report.busy:
        return "another process is at it"
    told = [
        f"{value} {name.replace('_', ' ')}" for name, value in report.as_dict().items() if name != "fence" and value
    ]
    return ", ".join(told) or "nothing was due"
