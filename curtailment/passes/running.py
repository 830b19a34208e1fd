"""One pass, or passes for some seconds, under the lock `curtailment`.

Everything is read from rows and judged by the database's clock; nothing is kept in memory between two iterations. A process that
is killed anywhere leaves rows from which the next one goes on. Every transaction that writes begins with the lock's fence, so
a process that was frozen writes nothing when it comes back, and sends nothing more.
"""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.db.models import Q

from curtailment.models import PlanMiner
from curtailment.passes import back, down, faults, figures, harvest, measuring, starting
from curtailment.passes.report import PassReport
from events.locks import Lease, LockBusy, held
from events.models import LockLost
from hosting.commands import free_claims, work_commands

log = logging.getLogger(__name__)

LOCK_KEY = "curtailment"
IDLE_S = 1.0
WORK_S = 1.0  # at the commands, before rows are looked at again
STALLED_AFTER_S = 150.0  # longer than asking thousands of dead machines takes; then the lock is the watchdog's to have


def never() -> bool:
    return False


def run_pass(*, seconds: float = 0.0, restore_only: bool = False, stopped: Callable[[], bool] = never) -> PassReport:
    """Do what is due once, or again and again for so many seconds; returns at once when another process is at it.

    `restore_only` starts nothing and stops no machine. `stopped` is asked between two iterations.
    When the lock is lost, whoever has it goes on.
    """
    report = PassReport()
    try:
        with held(LOCK_KEY, ttl_s=settings.CURTAILMENT_LOCK_TTL_S, stalled_after_s=STALLED_AFTER_S) as lease:
            report.fence = lease.lock.lock_version
            _iterate(lease, report, time.monotonic() + seconds, stopped, restore_only=restore_only)
    except LockBusy:
        report.busy = True
    except LockLost as lost:
        log.warning("%s", lost)
        report.busy = True
    return report


def _iterate(
    lease: Lease, report: PassReport, until: float, stopped: Callable[[], bool], *, restore_only: bool
) -> None:
    claimer = f"{LOCK_KEY} v"
    mine = f"{claimer}{report.fence}:"
    with lease.transaction():
        free_claims(claimer, but=mine)
    while True:
        before = report.moved
        _once(lease, report, mine, restore_only=restore_only)
        if stopped() or time.monotonic() >= until or not figures.anything_open():
            return
        if report.moved == before and lease.lost.wait(IDLE_S):
            return


def _once(lease: Lease, report: PassReport, mine: str, *, restore_only: bool) -> None:
    """The way back goes before the way down; but a plan that begins keeps what another one, which ends, would wake."""
    with report.apart("reading results"):
        harvest.look_at_rows(lease, report)
    with report.apart("keeping frozen sites still"):
        back.call_off_at_frozen_sites(lease)
    with report.apart("turning plans back"):
        back.begin(lease, report)
    if not restore_only:
        with report.apart("beginning plans"):
            starting.start_due(lease, report)
    with report.apart("bringing machines back"):
        back.wake(lease, report)
    if not restore_only:
        with report.apart("stopping machines"):
            down.stop_waves(lease, report)
        with report.apart("looking at machines that are off"):
            measuring.look(lease, report)
    with report.apart("carrying orders out"):
        _carry_out(lease, mine)
    with report.apart("reading results"):
        harvest.look_at_rows(lease, report)
    with report.apart("bringing plans up to date"):
        figures.bring_up_to_date(lease, report)


def _carry_out(lease: Lease, mine: str) -> None:
    """Send and judge the commands that rows wait for; their own rows say who may, so no transaction holds them together."""
    lease.check()
    waiting = PlanMiner.objects.open().filter(command__finished_at=None, command__isnull=False)
    batches = list(waiting.order_by().values_list("command__batch", flat=True).distinct())
    if batches:
        work_commands(
            seconds=WORK_S, only=Q(batch__in=batches), claimer=mine, stopped=lease.lost.is_set, progress=lease.check
        )
        faults.point("after packet")
