"""Settlements are kept as written, and a customer reads the rows of their own machines alone."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect

TABLES = (
    "curtailment_settlements",
    "curtailment_settlement_intervals",
    "curtailment_settlement_clients",
    "curtailment_settlement_miners",
)
FUNCTION = """
CREATE FUNCTION keep_settlements() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are kept as written: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
"""
KEEP = """
CREATE TRIGGER {table}_keep BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep_settlements();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
"""
RELEASE = """
DROP TRIGGER {table}_no_truncate ON {table};
DROP TRIGGER {table}_keep ON {table};
"""
# What all customers together delivered, and how: staff's own.
TOTALS = (
    *("requested_w", "delivered_w", "seconds_to_50", "seconds_to_95", "seconds_to_100", "machines", "confirmed", "drifted"),
    *("failed", "kwh_avoided", "unpriced_kwh", "saved", "forgone_usd", "coverage", "content_hash"),
)


class Migration(migrations.Migration):

    dependencies = [("accounts", "0008_no_truncate"), ("curtailment", "0017_settlements")]

    operations = [
        portal_role(),
        migrations.RunSQL(
            FUNCTION + "".join(KEEP.format(table=table) for table in TABLES),
            "".join(RELEASE.format(table=table) for table in TABLES) + "DROP FUNCTION keep_settlements();",
        ),
        protect("curtailment_settlement_clients", using="client_id = {me}"),
        protect("curtailment_settlement_miners", using="client_id = {me}"),
        protect(
            "curtailment_settlements",
            using="id = ANY(ARRAY(SELECT settlement_id FROM curtailment_settlement_clients))",
            hide=TOTALS,
        ),
    ]
