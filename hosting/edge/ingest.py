"""Taking what an agent reports: each minute goes the way of a sweep, in a transaction of its own under the site's lock.

A minute that is there already only gains the readings that it lacks, so a batch may come twice, in parts, or from two agents.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Greatest

from events.locks import Lease, LockBusy, held
from hosting.edge.silence import note_return
from hosting.edge.wire import Malformed, Report, read_line, read_minute, read_report
from hosting.models import Miner, Site, SiteAgent, TelemetryGap
from hosting.states import Collector
from hosting.telemetry.collector import LOCK_TTL_S, lock_key, remember_identities
from hosting.telemetry.store import store_sweep
from minefarm.lib.clock import database_now

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(hours=24)  # by an agent whose line is down
MARGIN = timedelta(hours=1)
AHEAD = timedelta(seconds=90)
WAIT_FOR_LOCK_S = 5.0
FOREIGN_NAMED = 100
MOST_LOST = 20_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one minute; `reason` says why it was refused, for people. Refused minutes are not worth repeating."""

    minute: str
    stored: int = 0
    foreign: tuple[int, ...] = ()
    refused: str | None = None

    def document(self) -> dict[str, Any]:
        told: dict[str, Any] = {"minute": self.minute, "stored": self.stored, "refused": self.refused}
        if self.foreign:
            named = {"count": len(self.foreign), "miner_ids": list(self.foreign[:FOREIGN_NAMED])}
            told["foreign"] = {**named, "reason": "not machines of this site"}
        return told


def take_batch(site: Site, lines: Iterable[bytes]) -> list[Outcome]:
    """Store every minute of a batch, in its order; one outcome for each.

    Raises LockBusy when another process keeps the site's lock, LockLost, and what the database raises: minutes before that are
    stored, and all may come again.
    """
    batch = _Batch(site, database_now())
    with _site_lock(site.pk) as lease:
        for line in lines:
            batch.take(line, lease)
    if site.collector == Collector.AGENT:
        _hear(site, batch.newest, batch.waiting, batch.now)
    return batch.outcomes


class _Batch:
    """What is known of a batch while its lines are taken one by one."""

    def __init__(self, site: Site, now: datetime) -> None:
        self.site, self.now = site, now
        self.machines: dict[int, UUID | None] = dict(Miner.objects.filter(site=site).values_list("pk", "client_id"))
        self.outcomes: list[Outcome] = []
        self.newest: datetime | None = None
        self.waiting = 0

    def take(self, line: bytes, lease: Lease) -> None:
        minute: object = None
        try:
            document = read_line(line)
            minute = document.get("minute")
            if "waiting" in document:
                self.waiting = _waiting(document)
            elif "lost" in document:
                _write_gaps(self.site.pk, document, self.now)
            else:
                self._take_minute(read_report(self.site.pk, document, self.machines), lease)
        except Malformed as error:
            self.outcomes.append(Outcome(str(minute)[:40], refused=str(error)))

    def _take_minute(self, report: Report, lease: Lease) -> None:
        minute = report.facts.minute
        if reason := _out_of_time(minute, self.now):
            raise Malformed(reason)
        self.outcomes.append(_store(report, lease))
        self.newest = max(self.newest or minute, minute)


@contextmanager
def _site_lock(site_id: int) -> Iterator[Lease]:
    """The lock of the site's sweeps: two agents, or an agent and a sweep, write one after the other."""
    until = time.monotonic() + WAIT_FOR_LOCK_S
    with ExitStack() as stack:
        while True:
            try:
                lease = stack.enter_context(held(lock_key(site_id), ttl_s=LOCK_TTL_S))
                break
            except LockBusy:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield lease


def _store(report: Report, lease: Lease) -> Outcome:
    stored = store_sweep(report.facts, report.rows, lock=lease)
    remember_identities(report.identities)
    if report.foreign:
        log.warning("site %s: its agent reports %d machines of others", report.facts.site_id, len(report.foreign))
    return Outcome(report.facts.minute.isoformat(), stored.stored, tuple(report.foreign))


def _out_of_time(minute: datetime, now: datetime) -> str | None:
    if minute > now + AHEAD:
        return f"this minute lies in the future: it is {now.astimezone(UTC):%H:%M} UTC; correct the agent's clock"
    if minute < now - KEPT_FOR - MARGIN:
        return "this minute is older than 24 hours"
    return None


def _waiting(document: Mapping[str, Any]) -> int:
    value = document["waiting"]
    if type(value) is not int or not 0 <= value <= 10**6:
        raise Malformed("waiting is a number of minutes")
    return value


def _write_gaps(site_id: int, document: Mapping[str, Any], now: datetime) -> None:
    """Minutes that the agent has lost for good, each as (minute, reason)."""
    lost = document["lost"]
    if not isinstance(lost, list) or len(lost) > MOST_LOST:
        raise Malformed("lost is a list of [minute, reason]")
    gaps = []
    for pair in lost:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], str) or not pair[1].isprintable():
            raise Malformed("lost is a list of [minute, reason]")
        minute = read_minute(pair[0])
        if now - timedelta(days=30) < minute < now:
            gaps.append(TelemetryGap(site_id=site_id, minute=minute, reason=f"at the agent: {pair[1][:100]}"))
    TelemetryGap.objects.bulk_create(gaps, ignore_conflicts=True)


@transaction.atomic
def _hear(site: Site, newest: datetime | None, waiting: int, now: datetime) -> None:
    agent, _ = SiteAgent.objects.get_or_create(site=site)
    heard = {"heard_at": now, "waiting": waiting}
    if newest is None:
        SiteAgent.objects.filter(pk=agent.pk).update(**heard)
    else:
        SiteAgent.objects.filter(pk=agent.pk).update(**heard, newest_minute=Greatest("newest_minute", newest))
        note_return(site, now)
