"""What customers' requests may read of events: their endpoints without the secrets, the deliveries to them, and those events."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect


class Migration(migrations.Migration):
    dependencies = [("events", "0005_delivery_upkeep")]

    operations = [
        migrations.AlterModelOptions(
            name='eventendpoint',
            options={'base_manager_name': 'objects', 'verbose_name': 'endpoint'},
        ),
        portal_role(),
        protect("event_endpoints", using="owner_id = {me}", hide=["secret", "previous_secret"]),
        protect("event_deliveries", using="endpoint_id = ANY(ARRAY(SELECT id FROM event_endpoints))"),
        protect(
            "outbox_events",
            using="client_id = {me} OR EXISTS (SELECT FROM event_deliveries d WHERE d.event_id = outbox_events.id)",
        ),
    ]
