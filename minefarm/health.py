"""What `doctor` looks at: each check says what it saw and, when that is wrong, what to do next."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta

import redis
from django.conf import settings
from django.core.checks import run_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.utils import timezone

from hosting.edge.silence import silent_agents
from hosting.models import Miner, Site, TelemetrySweep
from hosting.states import Collector
from hosting.telemetry.partitions import partition_days
from minefarm.celery import app
from minefarm.devstack import status
from minefarm.lib import rls
from minefarm.lib.clock import database_now

MIN_POSTGRESQL = 150_000
MAX_SKEW_S = 5.0
MAX_SWEEP_AGE = timedelta(minutes=3)


@dataclass(frozen=True)
class Finding:
    check: str
    ok: bool
    saw: str
    next_step: str | None = None


def python() -> Finding:
    saw = f"Python {platform.python_version()} at {sys.executable}"
    return Finding("python", sys.version_info >= (3, 11), saw, "Use Python 3.11 or newer.")


def servers() -> Finding:
    running = status("dev")
    embedded = str(settings.STATE_DIR) if running.get("running") else "not running"
    return Finding("embedded servers", ok=True, saw=embedded)


def system_checks() -> Finding:
    found = run_checks(include_deployment_checks=settings.PRODUCTION)
    messages = [message for message in found if not message.is_silenced()]
    saw = "; ".join(str(message) for message in messages) or "no complaint"
    return Finding("system checks", not messages, saw, "Follow the hints above.")


def database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, version()")
        number, version = cursor.fetchone()
    return Finding("database", number >= MIN_POSTGRESQL, version.partition(" on ")[0], "Use PostgreSQL 15 or newer.")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Finding("migrations", not missing, f"{len(missing)} to apply", "Run `manage.py migrate`.")


def customers_wall() -> Finding:
    trouble = rls.trouble()
    saw = trouble or "customers' requests run as a role of their own"
    return Finding("row security", not trouble, saw, "Follow docs/how-to/production.md, The database's user.")


def clock() -> Finding:
    skew = abs((database_now() - timezone.now()).total_seconds())
    return Finding("clock", skew < MAX_SKEW_S, f"{skew:.1f} s from the database's", "Set both hosts' clocks by NTP.")


def broker() -> Finding:
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2).ping()
    except redis.RedisError as error:
        return Finding("broker", ok=False, saw=str(error), next_step="Start Valkey or Redis, or correct REDIS_URL.")
    return Finding("broker", ok=True, saw="answers")


def partitions() -> Finding:
    today = database_now().astimezone(UTC).date()
    days = set(partition_days())
    missing = [day.isoformat() for day in (today, today + timedelta(days=1)) if day not in days]
    saw = f"no partition for {', '.join(missing)}" if missing else f"{len(days)} day partitions, tomorrow's among them"
    return Finding("telemetry partitions", not missing, saw, "Run `manage.py maintain_partitions`.")


def workers() -> Finding:
    names = sorted(app.control.inspect(timeout=1.0).ping() or {})
    return Finding(
        "workers",
        bool(names),
        ", ".join(names) or "none answers",
        "Start one: `celery -A minefarm worker -Q default,telemetry,outbox`.",
    )


def sweeps() -> Finding:
    if not Miner.objects.polled().exists():
        return Finding("sweeps", ok=True, saw="no machine is read yet")
    swept = Site.objects.exclude(collector=Collector.AGENT)  # those have a check of their own
    polled = set(swept.filter(miners__in=Miner.objects.polled()).values_list("name", flat=True))
    fresh = set(
        TelemetrySweep.objects.values("site__name")
        .annotate(last=Max("minute"))
        .filter(last__gt=database_now() - MAX_SWEEP_AGE)
        .values_list("site__name", flat=True)
    )
    late = sorted(polled - fresh)
    saw = f"late at {', '.join(late)}" if late else f"every site within {MAX_SWEEP_AGE.seconds // 60} minutes"
    return Finding("sweeps", not late, saw, "See that a worker and beat run; try `manage.py collect_telemetry`.")


def agents() -> Finding:
    sites = Site.objects.filter(collector=Collector.AGENT)
    silent = sorted(silent_agents(database_now()).values_list("site__name", flat=True))
    saw = f"silent at {', '.join(silent)}" if silent else f"{sites.count()} sites are read by one, none is silent"
    return Finding("site agents", not silent, saw, "See that edge_agent runs there and its line is up.")


CHECKS: tuple[Callable[[], Finding], ...] = (
    python,
    servers,
    system_checks,
    database,
    migrations,
    customers_wall,
    clock,
    broker,
    partitions,
    sweeps,
    agents,
    workers,
)


def examine() -> Iterator[Finding]:
    """Run every check; one that cannot be run because the database fails is a finding, too."""
    for check in CHECKS:
        try:
            yield check()
        except DatabaseError as error:
            yield Finding(
                check.__name__,
                ok=False,
                saw=str(error).strip(),
                next_step="Run `manage.py migrate` or correct DATABASE_URL.",
            )
