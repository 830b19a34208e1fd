"""Carrying out commands: level-triggered passes over the rows, safe to run anywhere, any time, many at once.

A claim says who is at a row and until when; it is a lease, so a worker that dies holds nothing up. Before a packet leaves, the
row says `sent` and the machine's log line stands, both committed. A row that was sent and not answered (its worker died, or
the machine kept silent) is judged by measurement first, and sent again only where doing it twice changes nothing.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from hosting.commands.finishing import Worked, expire, finish_batches
from hosting.commands.judging import judge_wave
from hosting.commands.sending import LEASE, WAVE, send_wave
from hosting.models import MinerCommand
from hosting.states import CommandStatus

IDLE_S = 0.3
SENT_OUT = (CommandStatus.SENT, CommandStatus.ACCEPTED)


def never() -> bool:
    return False


def work_commands(
    *,
    seconds: float = 0.0,
    batch_id: int | None = None,
    only: Q | None = None,
    claimer: str = "",
    stopped: Callable[[], bool] = never,
    progress: Callable[[], None] | None = None,
) -> Worked:
    """Do what is due, again and again for so many seconds (0: once); return what was moved.

    `batch_id` keeps to one batch, `only` to the commands that fit. `claimer` begins the name under which rows are claimed, for
    `free_claims`. No packet leaves once `stopped` says so. `progress` is called after every pass. Returns early when no command
    is open.
    """
    worked, until = Worked(), time.monotonic() + seconds
    which = _of(batch_id) & (only or Q())
    while True:
        busy = one_pass(worked, which, claimer=claimer, stopped=stopped)
        if progress is not None:
            progress()
        if stopped() or time.monotonic() >= until or not MinerCommand.objects.open().filter(which).exists():
            return worked
        if not busy:
            time.sleep(IDLE_S)


def one_pass(worked: Worked, which: Q | None = None, *, claimer: str = "", stopped: Callable[[], bool] = never) -> bool:
    """One wave of each kind; whether there was anything to do."""
    which = which or Q()
    expire(worked)
    me = f"{claimer}{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    waiting = _claim(me, Q(status=CommandStatus.QUEUED) & which)
    if waiting:
        send_wave(me, waiting, worked, stopped)
    watched = [] if stopped() else _claim(me, Q(status__in=SENT_OUT) & which)
    if watched:
        judge_wave(me, watched, worked)
    finish_batches()
    return bool(waiting or watched)


def _of(batch_id: int | None) -> Q:
    return Q() if batch_id is None else Q(batch=batch_id)


def _claim(me: str, which: Q) -> list[MinerCommand]:
    """Take up to a wave of due rows that nobody is at."""
    free = Q(claimed_until=None) | Q(claimed_until__lt=Now())
    due = MinerCommand.objects.filter(which, free, due_at__lte=Now()).order_by("due_at", "pk")
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)[:WAVE])
        MinerCommand.objects.filter(pk__in=ids).update(claimed_by=me, claimed_until=Now() + LEASE)
    return list(MinerCommand.objects.filter(pk__in=ids).select_related("batch").order_by("pk")) if ids else []
