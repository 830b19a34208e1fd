"""What delivery needs. Events that wait already get an identity and a place in the order of their machine."""

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import F, Q

import minefarm.lib.ids

NUMBER_OLD_EVENTS = """
UPDATE outbox_events SET event_uuid = gen_random_uuid(), aggregate_key = 'miner:' || COALESCE(payload ->> 'miner_id', 'unknown');
UPDATE outbox_events o SET aggregate_seq = numbered.seq
FROM (SELECT id, row_number() OVER (PARTITION BY aggregate_key ORDER BY id) AS seq FROM outbox_events) AS numbered
WHERE numbered.id = o.id;
INSERT INTO outbox_aggregates (aggregate_key, last_seq)
SELECT aggregate_key, max(aggregate_seq) FROM outbox_events GROUP BY aggregate_key;
"""


class Migration(migrations.Migration):

    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="EventInbox",
            fields=[
                ("pk", models.CompositePrimaryKey("consumer", "event_uuid", blank=True, editable=False, primary_key=True, serialize=False)),
                ("consumer", models.TextField()),
                ("event_uuid", models.UUIDField()),
                ("handled_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"db_table": "event_inbox"},
        ),
        migrations.CreateModel(
            name="OutboxAggregate",
            fields=[
                ("aggregate_key", models.TextField(primary_key=True, serialize=False)),
                ("last_seq", models.BigIntegerField()),
            ],
            options={"db_table": "outbox_aggregates"},
        ),
        migrations.AddField("outboxevent", "event_uuid", models.UUIDField(null=True)),
        migrations.AddField("outboxevent", "aggregate_key", models.TextField(null=True)),
        migrations.AddField("outboxevent", "aggregate_seq", models.BigIntegerField(null=True)),
        migrations.AddField("outboxevent", "version", models.SmallIntegerField(db_default=1, default=1)),
        migrations.AddField("outboxevent", "client_id", models.UUIDField(blank=True, null=True)),
        migrations.AddField("outboxevent", "dedupe_key", models.TextField(blank=True, null=True, unique=True)),
        migrations.AddField("outboxevent", "attempts", models.IntegerField(db_default=0, default=0)),
        migrations.AddField(
            "outboxevent", "next_attempt_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())
        ),
        migrations.AddField("outboxevent", "locked_until", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("outboxevent", "locked_by", models.TextField(blank=True, null=True)),
        migrations.AddField("outboxevent", "last_error", models.TextField(blank=True, null=True)),
        migrations.RunSQL(NUMBER_OLD_EVENTS, migrations.RunSQL.noop),
        # PostgreSQL cannot alter a table that has deferred checks pending.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            "outboxevent", "event_uuid", models.UUIDField(default=minefarm.lib.ids.uuid7, editable=False, unique=True)
        ),
        migrations.AlterField("outboxevent", "aggregate_key", models.TextField()),
        migrations.AlterField("outboxevent", "aggregate_seq", models.BigIntegerField()),
        migrations.AddIndex(
            "outboxevent",
            models.Index(condition=Q(("status", "pending")), fields=["next_attempt_at", "id"], name="outbox_due"),
        ),
        migrations.AddIndex(
            "outboxevent",
            models.Index(condition=Q(("status", "pending")), fields=["aggregate_key", "id"], name="outbox_waiting"),
        ),
        migrations.AddIndex(
            "outboxevent",
            models.Index(condition=Q(("status", "processed")), fields=["processed_at"], name="outbox_done"),
        ),
        migrations.AddConstraint(
            "outboxevent",
            models.UniqueConstraint(F("aggregate_key"), F("aggregate_seq"), name="outbox_in_order"),
        ),
    ]
