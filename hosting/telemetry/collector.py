"""A sweep: read every machine of a site and store the minute.

The lock `telemetry:site:<id>` decides who sweeps. A minute that cannot be stored (PostgreSQL is away or too slow, or the lock's
holder is stuck in an earlier minute) is kept in the spool, and the next sweep that holds the lock stores it.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import uvloop
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from events.locks import Fence, Lease, LockBusy, held
from events.models import SchedulerLock
from hosting.addresses import DEPLOYMENT
from hosting.cgminer.client import PollResult, Target, poll_many
from hosting.cgminer.reading import PowerSource, ReadError, Reading, estimate_power_w
from hosting.models import Miner, MinerIdentity, Site
from hosting.telemetry.backlog import drain, memory, spool
from hosting.telemetry.details import store_details, wants_details, wants_pool
from hosting.telemetry.store import Row, Stored, SweepFacts, encode, pack, store_sweep
from hosting.telemetry.targets import Identity, PolledMiner, polled_miners
from minefarm.lib.clock import database_minute

log = logging.getLogger(__name__)

# A sweep that is killed holds its lock no longer than this; a living one is always done sooner.
LOCK_TTL_S = 60.0
DEADLINE_S = 45.0
DRAIN_S = 10.0
MAX_COUNTER = 2**63 - 1
DATABASE_AWAY = (OperationalError, InterfaceError)


class SweepBusy(Exception):
    """Another process is sweeping this site at the moment; its sweep covers this minute."""


@dataclass(slots=True)
class SweepReport:
    """What a sweep did; `stored` counts readings of its minute that are in the history now.

    `resting`: machines that have long been down and were not asked this minute. `kept`: the minute waits in the spool.
    `drained`: so many minutes that had waited were stored as well.
    """

    site_id: int
    minute: datetime
    miners: int
    stored: int
    online: int
    failed: dict[str, int] = field(default_factory=dict)
    rejected_values: dict[str, int] = field(default_factory=dict)
    went_offline: int = 0
    came_online: int = 0
    resting: int = 0
    kept: bool = False
    drained: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def line(self) -> str:
        """The report for a log."""
        done = "kept for later" if self.kept else f"{self.stored} of {self.miners} stored"
        more = "".join(f", {count} {reason}" for reason, count in sorted(self.failed.items()))
        more += f", {self.resting} resting" if self.resting else ""
        more += f", {self.drained} earlier minutes stored" if self.drained else ""
        return f"site {self.site_id} {self.minute:%H:%M}: {done} in {self.wall_s:.2f} s{more}"


class Sweep:
    """One minute of one site: what is read, and its way into the database or the spool.

    Without `closer` no machine is looked at more closely: an agent's report has no room for boards.
    """

    def __init__(self, site_id: int, minute: datetime, miners: Sequence[PolledMiner], *, closer: bool = True) -> None:
        self.started, self.cpu_started = time.perf_counter(), time.process_time()
        self.known = {miner.id: miner for miner in miners if miner.is_due(minute)}
        self.resting = len(miners) - len(self.known)
        self.results = read_machines(list(self.known.values()), minute if closer else None)
        self.rows = [as_row(self.known[result.key], result) for result in self.results]
        self.facts = SweepFacts(site_id, minute, count_rejected(self.results), self.wall_s, self.cpu_s)

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self.started

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self.cpu_started

    def store(self, lock: Fence) -> Stored:
        """Write the minute and what the machines say of themselves. Raises LockLost, or an error of DATABASE_AWAY."""
        stored = store_sweep(self.facts, self.rows, lock=lock)
        remember_identities(new_identities(self.known, self.results))
        store_details(self.facts.minute, self.results)
        return stored

    def keep(self) -> None:
        """Put the minute on disk, durable when this returns."""
        path = spool().keep(
            self.facts.site_id, self.facts.minute, pack(self.facts, encode(self.facts.minute, self.rows))
        )
        log.warning(
            "site %s %s cannot be stored now and waits in %s",
            self.facts.site_id,
            self.facts.minute.strftime("%H:%M"),
            path.name,
        )

    def report(self, stored: Stored | None) -> SweepReport:
        return SweepReport(
            site_id=self.facts.site_id,
            minute=self.facts.minute,
            miners=len(self.known),
            stored=stored.stored if stored else 0,
            online=sum(1 for row in self.rows if row.error is None),
            failed=dict(Counter(row.error for row in self.rows if row.error is not None)),
            rejected_values=dict(self.facts.rejected_values),
            went_offline=stored.went_offline if stored else 0,
            came_online=stored.came_online if stored else 0,
            resting=self.resting,
            kept=stored is None,
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
        )


def sweep_site(site: Site, minute: datetime | None = None) -> SweepReport:
    """Read every enabled machine of the site once and store the minute, or keep it when it cannot be stored now.

    The minute is the database's present one unless given. Raises SweepBusy when another sweep covers it, LockLost when this
    one took too long; then nothing was written.
    """
    try:
        with held(lock_key(site.pk), ttl_s=LOCK_TTL_S) as lease:
            return _sweep_under(lease, site, minute)
    except LockBusy:
        return _sweep_beside(site, minute or database_minute())


def _sweep_under(lease: Lease, site: Site, minute: datetime | None) -> SweepReport:
    miners = polled_miners(site)
    memory().remember(site.pk, miners)
    sweep = Sweep(site.pk, minute or database_minute(), miners)
    try:
        stored = sweep.store(lease)
    except DATABASE_AWAY:
        sweep.keep()
        return sweep.report(None)
    report = sweep.report(stored)
    report.drained = _drain(site.pk, lease)
    return report


def sweep_blind(site_id: int, minute: datetime | None = None) -> SweepReport | None:
    """Read the machines as they were last known and keep the minute: for when the database does not answer.

    None when this host has not swept the site before.
    """
    known = memory().recall(site_id)
    if known is None:
        return None
    miners, present = known
    sweep = Sweep(site_id, minute or present, miners)
    sweep.keep()
    return sweep.report(None)


def collect(site_id: int, minute: datetime | None = None) -> SweepReport | None:
    """One minute of one site whatever the database's state; None when the site is gone or never was swept here.

    Raises SweepBusy and LockLost as sweep_site does.
    """
    try:
        site = Site.objects.get(pk=site_id)
        return sweep_site(site, minute)
    except Site.DoesNotExist:
        memory().forget(site_id)
        return None
    except DATABASE_AWAY as error:
        log.warning("site %s: the database does not answer (%s); reading goes on", site_id, str(error).strip())
        connection.close()
        return sweep_blind(site_id, minute)


def _sweep_beside(site: Site, minute: datetime) -> SweepReport:
    """Somebody holds the lock: for this minute, or, being slow, stuck or dead, for one that has passed."""
    if SchedulerLock.objects.get(pk=lock_key(site.pk)).acquired_at >= minute:
        raise SweepBusy(f"site {site.name!r} is being swept by another process; its sweep covers this minute")
    sweep = Sweep(site.pk, minute, polled_miners(site))
    sweep.keep()
    return sweep.report(None)


def _drain(site_id: int, lease: Lease) -> int:
    try:
        return drain(site_id, lease, seconds=DRAIN_S)
    except DATABASE_AWAY as error:  # this minute is stored; the others wait on
        log.warning("site %s: waiting minutes could not be stored: %s", site_id, error)
        return 0


def lock_key(site_id: int) -> str:
    return f"telemetry:site:{site_id}"


def read_machines(miners: Sequence[PolledMiner], minute: datetime | None = None) -> list[PollResult]:
    """Poll them all on one event loop; each has a result, in any order. In each minute a part is looked at more closely.

    Addresses are checked once more: what a file remembers may have been true yesterday.
    """
    targets, forbidden = [], []
    refusal = DEPLOYMENT.judge()
    for m in miners:
        if m.forbidden or refusal(m.host, None):
            forbidden.append(PollResult(m.host, m.port, error=ReadError.FORBIDDEN, key=m.id))
            continue
        details = minute is not None and wants_details(m.id, minute)
        pool = minute is not None and wants_pool(m.id, minute)
        targets.append(Target(m.host, m.port, m.identity[3], m.id, details, pool))
    return forbidden + uvloop.run(
        poll_many(
            targets,
            concurrency=settings.TELEMETRY_POLL_CONCURRENCY,
            timeout_s=settings.TELEMETRY_POLL_TIMEOUT_S,
            deadline_s=DEADLINE_S,
        )
    )


def as_row(miner: PolledMiner, result: PollResult) -> Row:
    """The result in the integers that are stored; power is estimated from the machine's own model where none is reported."""
    reading = result.reading
    if reading is None:
        return Row(miner.id, miner.client_id, str(result.error))
    power_w, estimated = power_of(miner, reading)
    return Row(
        miner_id=miner.id,
        client_id=miner.client_id,
        error=None,
        hashrate_centi_ths=centi(reading.hashrate_ths),
        hashrate_avg_centi_ths=centi(reading.hashrate_avg_ths),
        temperature_centi_c=centi(reading.temperature_c),
        power_centi_w=centi(power_w),
        power_estimated=estimated,
        fan_rpm=tuple(reading.fan_rpm),
        uptime_s=counter(reading.uptime_s),
        accepted=counter(reading.accepted),
        rejected=counter(reading.rejected),
        hardware_errors=counter(reading.hardware_errors),
    )


def power_of(miner: PolledMiner, reading: Reading) -> tuple[float | None, bool]:
    """Watts and whether they are an estimate; the inventory's model goes before what the machine calls itself."""
    if reading.power_source is PowerSource.MINER:
        return reading.power_w, False
    if miner.efficiency_j_th is not None and miner.nameplate_w is not None and reading.hashrate_ths is not None:
        return estimate_power_w(reading.hashrate_ths, float(miner.efficiency_j_th), float(miner.nameplate_w)), True
    return reading.power_w, reading.power_source is PowerSource.ESTIMATE


def centi(value: float | None) -> int | None:
    return None if value is None else round(value * 100)


def counter(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= MAX_COUNTER else None


def count_rejected(results: Iterable[PollResult]) -> dict[str, int]:
    """Values that could not be believed, as `metric:reason` to their number."""
    counts: Counter[str] = Counter()
    for result in results:
        if result.reading is not None:
            counts.update(f"{metric}:{reason}" for metric, reason in result.reading.rejected_values.items())
    return dict(counts)


def new_identities(known: dict[int, PolledMiner], results: Iterable[PollResult]) -> list[Identity]:
    """What machines said of themselves, and how to ask them most cheaply next time, where that has changed."""
    changed = []
    for result in results:
        reading = result.reading
        if reading is None:
            continue
        before = known[result.key].identity
        # Some makes tell their model and firmware when first asked, and not in the cheapest reading.
        model, firmware = before[1:3] if before[0] == reading.make else (None, None)
        identity = (reading.make, reading.model or model, reading.firmware or firmware, result.command_set)
        if identity != before:
            changed.append((result.key, *identity))
    return changed


def remember_identities(changed: Sequence[Identity]) -> int:
    """Write down who answered and how; those of machines that are gone are left out."""
    if changed:
        with transaction.atomic():
            present = set(Miner.objects.filter(pk__in=[row[0] for row in changed]).values_list("pk", flat=True))
            MinerIdentity.objects.bulk_create(
                [
                    MinerIdentity(miner_id=pk, make=make, model=model, firmware=firmware, command_set=command_set)
                    for pk, make, model, firmware, command_set in changed
                    if pk in present
                ],
                update_conflicts=True,
                unique_fields=["miner"],
                update_fields=["make", "model", "firmware", "command_set", "updated_at"],
            )
    return len(changed)
