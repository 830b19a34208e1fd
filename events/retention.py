"""What the outbox forgets: events that went out long ago. Failed ones wait for a person, pending ones for their turn."""

from django.db import connection

BATCH = 5000

# The inbox's key begins with the consumer. Deliveries that are over go with their event; one that is not over keeps it.
FORGET = """
WITH old AS MATERIALIZED (
    SELECT o.id, o.event_uuid FROM outbox_events o
    WHERE o.status = 'processed' AND o.processed_at < statement_timestamp() - make_interval(days => %(days)s)
      AND NOT EXISTS (SELECT FROM event_deliveries d WHERE d.event_id = o.id AND d.status = 'pending')
    ORDER BY o.processed_at LIMIT %(batch)s FOR UPDATE OF o SKIP LOCKED
), deliveries AS (
    DELETE FROM event_deliveries d USING old WHERE d.event_id = old.id
), inbox AS (
    DELETE FROM event_inbox i USING old WHERE i.consumer = ANY (%(consumers)s::text[]) AND i.event_uuid = old.event_uuid
)
DELETE FROM outbox_events o USING old WHERE o.id = old.id
"""


def forget_processed(*, days: int, batch: int = BATCH) -> int:
    """Delete events processed more than `days` days ago, a batch per transaction; how many.

    The counters of `outbox_aggregates` stay, so that an aggregate's numbers go on.
    """
    if days < 1:
        raise ValueError(f"OUTBOX_RETENTION_DAYS is {days}: keep processed events for a day or more.")
    forgotten = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT consumer FROM event_inbox")
        consumers = [name for (name,) in cursor.fetchall()]
        while True:
            cursor.execute(FORGET, {"days": days, "batch": batch, "consumers": consumers})
            gone: int = cursor.rowcount
            forgotten += gone
            if gone < batch:
                return forgotten
