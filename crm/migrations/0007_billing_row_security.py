"""Customers read their contracts, and of usage what invoices that were issued to them stand on."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect

BILLED = "id = ANY(ARRAY(SELECT snapshot_id FROM crm_invoices WHERE snapshot_id IS NOT NULL AND status <> 'draft'))"


class Migration(migrations.Migration):

    dependencies = [("crm", "0006_usage_stays")]

    operations = [
        portal_role(),
        protect("crm_contracts", using="client_id = {me}", hide=["deal_id", "created_by_id"]),
        protect("crm_contract_versions", using="contract_id = ANY(ARRAY(SELECT id FROM crm_contracts))"),
        protect("crm_usage_snapshots", using=f"client_id = {{me}} AND {BILLED}"),
        protect("crm_usage_days", using="snapshot_id = ANY(ARRAY(SELECT id FROM crm_usage_snapshots))"),
    ]
