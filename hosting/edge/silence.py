"""Agents that have fallen silent: their machines go offline as any that are not read do, and somebody is told."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from psycopg import Cursor

from events.alerts import alert
from events.locks import LockBusy, held
from events.outbox import publish
from hosting.models import Miner, Site, SiteAgent
from hosting.states import Collector
from hosting.telemetry.collector import LOCK_TTL_S, lock_key
from hosting.telemetry.store import take_silent_offline
from minefarm.lib.clock import database_now
from minefarm.lib.records import age

log = logging.getLogger(__name__)

SILENT_AFTER = timedelta(minutes=5)

# What an agent kept has come by then, or never will. A day's width: the watch itself may have been down.
MISSING_MINUTES = """
INSERT INTO telemetry_gaps (site_id, minute, reason)
SELECT %(site)s, minute, 'agent silent'
FROM generate_series(
    GREATEST(
        date_trunc('minute', %(since)s::timestamptz) + interval '1 minute',
        date_trunc('minute', %(now)s::timestamptz) - interval '49 hours'
    ),
    date_trunc('minute', %(now)s::timestamptz) - interval '25 hours',
    '1 minute'
) AS minute
WHERE NOT EXISTS (SELECT FROM telemetry_sweeps s WHERE s.site_id = %(site)s AND s.minute = minute.minute)
ON CONFLICT DO NOTHING
"""


def watch_agents(now: datetime | None = None) -> list[int]:
    """Look at every site that an agent reads; returns the sites whose agent is silent. `now` is the database's unless given."""
    now = now or database_now()
    SiteAgent.objects.exclude(site__collector=Collector.AGENT).delete()
    silent = []
    for site in Site.objects.filter(collector=Collector.AGENT):
        SiteAgent.objects.get_or_create(site=site, defaults={"expected_since": now})
        _write_missing(site, now)
        if _is_silent(site, now):
            silent.append(site.pk)
            _take_offline(site, now)
            _note_silence(site, now)
    return silent


def silent_agents(now: datetime) -> "QuerySet[SiteAgent]":
    """Agents whose newest minute is five minutes old, though their site has machines to read."""
    heard = SiteAgent.objects.alias(last=Coalesce("newest_minute", "expected_since"))
    return heard.filter(last__lte=now - SILENT_AFTER, site__in=Miner.objects.polled().values("site"))


def agent_hint(site: Site, now: datetime) -> str:
    """One line about the site's agent for people, with the next step when there is one."""
    agent = SiteAgent.objects.filter(pk=site.pk).first()
    if agent is None or agent.heard_at is None:
        return "has never reported: make a site token, and start edge_agent at the site"
    waiting = f"; {agent.waiting} minutes wait there" if agent.waiting else ""
    heard = f"reported {age(agent.heard_at, now)}{waiting}"
    if agent.silent_since is None:
        return heard
    return f"silent since {agent.silent_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {heard}: see that it runs and its line is up"


def note_return(site: Site, now: datetime) -> None:
    """Tell that a silent agent reports again. One UPDATE decides, so it is told once."""
    agent = SiteAgent.objects.get(pk=site.pk)
    since = agent.silent_since
    if since is None or agent.newest_minute is None or agent.newest_minute <= now - SILENT_AFTER:
        return  # what comes is its backlog
    if SiteAgent.objects.filter(pk=site.pk, silent_since=since).update(silent_since=None):
        publish(
            "site.agent_back",
            about=f"site:{site.pk}",
            site_id=site.pk,
            name=site.name,
            silent_since=since.isoformat(),
            at=now.isoformat(),
        )


def _is_silent(site: Site, now: datetime) -> bool:
    return silent_agents(now).filter(pk=site.pk).exists()


@transaction.atomic
def _note_silence(site: Site, now: datetime) -> None:
    if not SiteAgent.objects.filter(pk=site.pk, silent_since=None).update(silent_since=now):
        return
    newest = SiteAgent.objects.values_list("newest_minute", flat=True).get(pk=site.pk)
    publish(
        "site.agent_silent",
        about=f"site:{site.pk}",
        site_id=site.pk,
        name=site.name,
        newest_minute=newest.isoformat() if newest else None,
        at=now.isoformat(),
    )
    last = f"its newest minute is {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if newest else "it never reported"
    transaction.on_commit(
        lambda: alert(
            f"agent of site {site.pk}",
            f"the agent of {site.name} is silent",
            f"No minute for five minutes: {last}. See that it runs and that its line is up; what it reads meanwhile is kept"
            " there for 24 hours. docs/how-to/edge-agent.md helps.",
        )
    )


def _take_offline(site: Site, now: datetime) -> None:
    """Under the lock of the site's sweeps; when that is taken, somebody is storing a minute, and the next look does it."""
    try:
        with held(lock_key(site.pk), ttl_s=LOCK_TTL_S) as lease:
            moved = take_silent_offline(site.pk, now, lock=lease)
    except LockBusy:
        return
    if moved:
        log.warning("site %s: %d machines are offline, its agent is silent", site.pk, moved)


def _write_missing(site: Site, now: datetime) -> None:
    since = SiteAgent.objects.values_list("expected_since", flat=True).get(pk=site.pk)
    if since > now - timedelta(hours=25) or now.minute % 10:
        return
    with connection.cursor() as wrapper:
        cursor = cast("Cursor[Any]", wrapper)
        cursor.execute(MISSING_MINUTES, {"site": site.pk, "since": since, "now": now})
        if cursor.rowcount:
            log.error("site %s: %d minutes never came from its agent; see telemetry_gaps", site.pk, cursor.rowcount)
