"""Customers read the invoices that were issued to them, with their lines and payments, and write none of it."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect

OF_MY_INVOICES = "invoice_id = ANY(ARRAY(SELECT id FROM crm_invoices))"


class Migration(migrations.Migration):

    dependencies = [("crm", "0003_issued_stays")]

    operations = [
        portal_role(),
        protect(
            "crm_invoices",
            using="client_id = {me} AND status <> 'draft'",
            hide=["deal_id", "pdf_path", "held_for", "created_by_id", "issued_by_id"],
        ),
        protect("crm_invoice_lines", using=OF_MY_INVOICES),
        protect("crm_payments", using=OF_MY_INVOICES, hide=["note", "recorded_by_id"]),
    ]
