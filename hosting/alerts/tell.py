"""Who is told: one event per alert that stands for itself, and none per machine below the alert of a whole site.

Within a rule's cool-down the alert is on the page, and its event waits until the cool-down is over.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from events.outbox import Fact, publish_many
from hosting.models import Alert

DUE = """
SELECT a.id FROM alerts a JOIN alert_rules r ON r.id = a.rule_id
WHERE a.told_at IS NULL AND a.state = 'open' AND a.suppressed_by_id IS NULL AND NOT EXISTS (
    SELECT FROM alerts before
    WHERE before.kind = a.kind AND before.severity = a.severity AND before.site_id = a.site_id
        AND before.miner_id IS NOT DISTINCT FROM a.miner_id AND before.told_at IS NOT NULL
        AND before.resolved_at > %(now)s - make_interval(mins => r.cooldown_minutes))
"""
COLUMNS = ("id", "kind", "severity", "site_id", "site__name", "miner_id", "miner__serial_number", "miner__client_id")


def tell_opened(now: datetime) -> int:
    """Publish alert.opened for what stands and is not told yet; how many."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"now": now})
        due = [alert_id for (alert_id,) in cursor.fetchall()]
    publish_many("alert.opened", facts(due, "opened_at"))
    Alert.objects.filter(pk__in=due).update(told_at=now)
    return len(due)


def tell_resolved(ids: Sequence[int]) -> int:
    """Publish alert.resolved for those of the alerts whose opening was told; how many."""
    told = list(Alert.objects.filter(pk__in=ids, told_at__isnull=False).values_list("pk", flat=True))
    publish_many("alert.resolved", facts(told, "resolved_at"))
    return len(told)


def facts(ids: Sequence[int], at: str) -> list[Fact]:
    if not ids:
        return []
    rows = Alert.objects.filter(pk__in=ids).order_by("pk").values(*COLUMNS, "machines", "evidence", at)
    return [fact(row, row[at]) for row in rows]


def fact(row: dict[str, Any], at: datetime) -> Fact:
    client_id: UUID | None = row["miner__client_id"]
    payload = {
        "alert_id": row["id"],
        "kind": row["kind"],
        "severity": row["severity"],
        "site_id": row["site_id"],
        "site": row["site__name"],
        "miner_id": row["miner_id"],
        "serial_number": row["miner__serial_number"],
        "machines": row["machines"],
        "evidence": row["evidence"],
        "at": at.isoformat(),
    }
    return Fact(f"alert:{row['id']}", payload, client_id)
