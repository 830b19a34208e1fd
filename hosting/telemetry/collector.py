"""One sweep of one site: read every machine over TCP, then store the minute."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import uvloop
from django.conf import settings
from django.db import transaction

from events.models import SchedulerLock
from hosting.cgminer.client import PollResult, Target, poll_many
from hosting.cgminer.reading import PowerSource, Reading, estimate_power_w
from hosting.models import Miner, MinerIdentity, Site
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

log = logging.getLogger(__name__)

# A sweep that is killed holds its lock no longer than this; a living one is always done sooner.
LOCK_TTL_S = 60.0
DEADLINE_S = 45.0
MAX_COUNTER = 2**63 - 1


class SweepBusy(Exception):
    """Another process is sweeping this site at the moment; its sweep covers this minute."""


@dataclass(slots=True)
class SweepReport:
    """What a sweep did; `stored` counts readings of its minute that are in the history now."""

    site_id: int
    minute: datetime
    miners: int
    stored: int
    online: int
    failed: dict[str, int] = field(default_factory=dict)
    rejected_values: dict[str, int] = field(default_factory=dict)
    went_offline: int = 0
    came_online: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PolledMiner:
    """What the collector must know of a machine before it asks."""

    id: int
    host: str
    port: int
    client_id: UUID | None
    efficiency_j_th: Decimal | None
    nameplate_w: Decimal | None
    identity: tuple[str | None, str | None, str | None, str | None]  # make, model, firmware, command set


def sweep_site(site: Site) -> SweepReport:
    """Read every enabled machine of the site once and store the minute.

    Raises SweepBusy when another sweep of the site runs, LockLost when this one took too long; then nothing was written.
    """
    lock = SchedulerLock.acquire(f"telemetry:site:{site.pk}", timeout=LOCK_TTL_S)
    if lock is None:
        raise SweepBusy(f"site {site.name!r} is being swept by another process; its sweep covers this minute")
    try:
        return _sweep(site, lock)
    finally:
        lock.release()


def _sweep(site: Site, lock: SchedulerLock) -> SweepReport:
    started, cpu_started = time.perf_counter(), time.process_time()
    minute = database_minute()
    miners = polled_miners(site)
    results = read_machines(miners)
    known = {miner.id: miner for miner in miners}
    rows = [as_row(known[result.key], result) for result in results]
    report = SweepReport(
        site_id=site.pk,
        minute=minute,
        miners=len(miners),
        stored=0,
        online=sum(1 for row in rows if row.error is None),
        failed=dict(Counter(row.error for row in rows if row.error is not None)),
        rejected_values=count_rejected(results),
    )
    report.wall_s, report.cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    facts = SweepFacts(site.pk, minute, report.rejected_values, report.wall_s, report.cpu_s)
    stored = store_sweep(facts, rows, lock=lock)
    remember_identities(known, results)
    report.stored, report.went_offline, report.came_online = stored.stored, stored.went_offline, stored.came_online
    report.wall_s, report.cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return report


def polled_miners(site: Site) -> list[PolledMiner]:
    """The site's enabled machines with what is known of each, in one query."""
    rows = (
        Miner.objects.polled()
        .filter(site=site)
        .order_by("pk")
        .values_list(
            "pk",
            "cgminer_ip",
            "cgminer_port",
            "client_id",
            "miner_model__efficiency",
            "miner_model__power_consumption",
            "identity__make",
            "identity__model",
            "identity__firmware",
            "identity__command_set",
        )
    )
    return [
        PolledMiner(pk, host, port, client, efficiency, nameplate, identity=(make, model, firmware, command_set))
        for pk, host, port, client, efficiency, nameplate, make, model, firmware, command_set in rows
        if host is not None
    ]


def read_machines(miners: Sequence[PolledMiner]) -> list[PollResult]:
    """Poll them all on one event loop; each has a result, in any order."""
    targets = [Target(host=m.host, port=m.port, command_set=m.identity[3], key=m.id) for m in miners]
    return uvloop.run(
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


def remember_identities(known: dict[int, PolledMiner], results: Iterable[PollResult]) -> int:
    """Write down who answered and how to ask it most cheaply next time, where that has changed."""
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
