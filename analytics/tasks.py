"""Celery's doors."""

import logging

from celery import shared_task

from analytics import calculation, collect, power
from analytics.models import PowerContract
from events.periodic import once_per_period

log = logging.getLogger(__name__)


@shared_task
@once_per_period
def collect_market() -> None:
    """Price and network of this quarter of an hour, then the indicators that follow from it."""
    try:
        collected = collect.collect_market()
    except collect.MarketOff:
        return
    if collected.stored:
        calculation.calculate_indicators()


@shared_task
@once_per_period
def calculate_indicators() -> None:
    """What is due: closes that were imported, or whose indicators a collection could not wait for."""
    done = calculation.calculate_indicators()
    if done.computed:
        log.info("indicators of %d closes computed", done.computed)


@shared_task
@once_per_period
def price_power() -> None:
    """Prices of electricity ahead, for every site with a contract."""
    for priced in power.price_ahead(PowerContract.objects.select_related("site")):
        if priced.outcome not in {"ok", "not_out"}:
            log.warning("prices of %s (%s): %s %s", priced.site, priced.kind, priced.outcome, priced.detail)
