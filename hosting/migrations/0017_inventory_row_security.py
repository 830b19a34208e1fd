"""What customers' requests may read of the inventory: repairs of their machines, without who did them and what staff wrote."""

from django.db import migrations

from minefarm.lib.rls import ROLE, portal_role, protect

# hosting_miners hides columns, so those that came later are not granted by themselves.
MINER_COLUMNS = "retired_at, warranty_start"
OF_MY_TICKETS = "ticket_id = ANY(ARRAY(SELECT id FROM maintenance_tickets))"


class Migration(migrations.Migration):

    dependencies = [("hosting", "0016_inventory")]

    operations = [
        portal_role(),
        migrations.RunSQL(
            f"GRANT SELECT ({MINER_COLUMNS}) ON hosting_miners TO {ROLE}",
            f"REVOKE SELECT ({MINER_COLUMNS}) ON hosting_miners FROM {ROLE}",
        ),
        protect(
            "maintenance_tickets", using="client_id = {me}", hide=["opened_by_id", "assigned_to_id", "took_out"]
        ),
        protect(
            "maintenance_ticket_comments", using=f"NOT internal AND {OF_MY_TICKETS}", hide=["author_id"]
        ),
        protect("maintenance_ticket_parts", using=OF_MY_TICKETS),
    ]
