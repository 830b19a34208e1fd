"""What the outbox forgets: events that went out long ago. Failed ones wait for a person, pending ones for their turn."""

from datetime import datetime

from django.conf import settings
from django.db import connection

from minefarm.lib.retention import Order, Outcome, Rule, mean_row_bytes, register

TABLE = "outbox_events"
BATCH = 5000

# Deliveries that are over go with their event; one that is not over keeps it.
DUE = """
FROM outbox_events o
WHERE o.status = 'processed' AND o.processed_at < %(before)s
  AND NOT EXISTS (SELECT FROM event_deliveries d WHERE d.event_id = o.id AND d.status = 'pending')
"""
# The inbox's key begins with the consumer.
FORGET = f"""
WITH old AS MATERIALIZED (
    SELECT o.id, o.event_uuid {DUE}
    ORDER BY o.processed_at LIMIT %(batch)s FOR UPDATE OF o SKIP LOCKED
), deliveries AS (
    DELETE FROM event_deliveries d USING old WHERE d.event_id = old.id
), inbox AS (
    DELETE FROM event_inbox i USING old WHERE i.consumer = ANY (%(consumers)s::text[]) AND i.event_uuid = old.event_uuid
)
DELETE FROM outbox_events o USING old WHERE o.id = old.id
"""  # noqa: S608


def forget_processed(*, before: datetime, batch: int = BATCH) -> int:
    """Delete events processed before that moment, a batch per transaction; how many.

    The counters of `outbox_aggregates` stay, so that an aggregate's numbers go on.
    """
    forgotten = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT consumer FROM event_inbox")
        consumers = [name for (name,) in cursor.fetchall()]
        while True:
            cursor.execute(FORGET, {"before": before, "batch": batch, "consumers": consumers})
            gone: int = cursor.rowcount
            forgotten += gone
            if gone < batch:
                return forgotten


def forget_events(order: Order) -> Outcome:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), min(o.processed_at) {DUE}", {"before": order.before})
        rows, oldest = cursor.fetchone()
    if rows and (hold := order.held(TABLE, oldest, order.before)):
        return Outcome(notes=(f"held: {hold.reason}",))
    if rows and not order.dry_run:
        rows = forget_processed(before=order.before)
    return Outcome(rows, round(rows * mean_row_bytes(TABLE)))


def register_rules() -> None:
    register(Rule(TABLE, lambda: settings.RETENTION_OUTBOX_DAYS, forget_events))
