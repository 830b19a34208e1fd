"""Celery's doors: ids in, one service call each."""

import logging

from celery import shared_task
from django.conf import settings

from events.periodic import once_per_period
from hosting import retention
from hosting.edge.silence import watch_agents
from hosting.states import Collector
from hosting.telemetry import partitions, rollups
from hosting.telemetry.collector import SweepBusy, collect
from hosting.telemetry.duty import sites_to_sweep
from hosting.telemetry.queues import SHARED, queue_of

log = logging.getLogger(__name__)

# A sweep that waited longer than this has missed its minute; the next tick is on its way.
SWEEP_EXPIRES_S = 50


@shared_task
@once_per_period(without_database=True)
def sweep_sites() -> int:
    """Beat's tick: one task per site that workers read, on its queue; the sites as last known while the database is away."""
    sites = sites_to_sweep()
    for site_id, collector in sites.items():
        queue = queue_of(site_id) if collector == Collector.QUEUE else SHARED
        sweep_site.apply_async((site_id,), expires=SWEEP_EXPIRES_S, queue=queue)
    return len(sites)


@shared_task(soft_time_limit=55, time_limit=58)
def sweep_site(site_id: int) -> None:
    """One minute of one site. A site that is being swept already is skipped, never queued."""
    try:
        report = collect(site_id)
    except SweepBusy as busy:
        log.warning("%s", busy)
        return
    if report:
        log.info("%s", report.line())


@shared_task
@once_per_period
def watch_site_agents() -> None:
    """Sites whose agent has fallen silent."""
    for site_id in watch_agents():
        log.warning("site %s: its agent is silent", site_id)


@shared_task
@once_per_period
def maintain_partitions() -> None:
    partitions.maintain_partitions(days_ahead=settings.TELEMETRY_PARTITION_DAYS_AHEAD)


@shared_task
@once_per_period
def roll_up_telemetry() -> None:
    """Hours that are over, or that got late readings."""
    report = rollups.roll_up_due()
    if report.site_hours:
        log.info("rolled up %d hours of sites, %d ledger rows", report.site_hours, report.rows_changed)


@shared_task
@once_per_period
def apply_retention() -> None:
    """Every app's retention rules, under the guards."""
    for applied in retention.apply_retention():
        for note in applied.outcome.notes:
            log.info("retention of %s: %s", applied.table, note)
        if applied.outcome.rows:
            log.info("retention of %s: %d rows", applied.table, applied.outcome.rows)
