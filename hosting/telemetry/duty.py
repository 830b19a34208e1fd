"""Who reads which site: the farm's workers, workers on a queue of the site's own, or an agent at the site."""

from hosting.models import Site
from hosting.states import Collector
from hosting.telemetry.backlog import memory
from hosting.telemetry.collector import DATABASE_AWAY


def sites_to_sweep() -> dict[int, str]:
    """Sites that workers read, and who does; as last known to this host while the database is away."""
    try:
        found = dict(Site.objects.exclude(collector=Collector.AGENT).values_list("pk", "collector"))
    except DATABASE_AWAY:
        return memory().recall_duty()
    memory().remember_duty(found)
    return found


def own_sites() -> list[int]:
    """Sites that a collector reads by itself, without Celery: those of the farm's workers."""
    return [site_id for site_id, collector in sites_to_sweep().items() if collector == Collector.FARM]
