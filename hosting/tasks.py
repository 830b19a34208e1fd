"""Celery's doors: ids in, one service call each."""

import logging

from celery import shared_task
from django.conf import settings

from hosting.models import Site
from hosting.telemetry import partitions
from hosting.telemetry.collector import SweepBusy, sweep_site as sweep

log = logging.getLogger(__name__)

# A sweep that waited longer than this has missed its minute; the next tick is on its way.
SWEEP_EXPIRES_S = 50


@shared_task
def sweep_sites() -> int:
    """Beat's tick: one task per site."""
    sites = list(Site.objects.values_list("pk", flat=True))
    for site_id in sites:
        sweep_site.apply_async((site_id,), expires=SWEEP_EXPIRES_S)
    return len(sites)


@shared_task(soft_time_limit=55, time_limit=58)
def sweep_site(site_id: int) -> None:
    """One minute of one site. A site that is being swept already is skipped, never queued."""
    try:
        report = sweep(Site.objects.get(pk=site_id))
    except SweepBusy as busy:
        log.warning("%s", busy)
        return
    except Site.DoesNotExist:  # deleted since the tick
        return
    log.info(
        "site %s %s: %d of %d stored in %.2f s, failed %s",
        site_id,
        report.minute.strftime("%H:%M"),
        report.stored,
        report.miners,
        report.wall_s,
        report.failed,
    )


@shared_task
def maintain_partitions() -> None:
    partitions.maintain_partitions(days_ahead=settings.TELEMETRY_PARTITION_DAYS_AHEAD)
