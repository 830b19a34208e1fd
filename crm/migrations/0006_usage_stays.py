"""Evidence is only ever added, and terms that were billed stay: the database refuses the rest."""

from django.db import migrations

KEEP = """
CREATE FUNCTION crm_usage_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are evidence of invoices and stay as written: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER crm_usage_snapshots_keep BEFORE UPDATE OR DELETE ON crm_usage_snapshots
    FOR EACH ROW EXECUTE FUNCTION crm_usage_keep();
CREATE TRIGGER crm_usage_days_keep BEFORE UPDATE OR DELETE ON crm_usage_days
    FOR EACH ROW EXECUTE FUNCTION crm_usage_keep();
CREATE TRIGGER crm_usage_snapshots_no_truncate BEFORE TRUNCATE ON crm_usage_snapshots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER crm_usage_days_no_truncate BEFORE TRUNCATE ON crm_usage_days
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

CREATE FUNCTION crm_contract_versions_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'DELETE' OR to_jsonb(NEW) <> to_jsonb(OLD)) AND EXISTS (
        SELECT FROM crm_invoices i LEFT JOIN crm_usage_snapshots s ON s.id = i.snapshot_id
        WHERE i.status <> 'draft' AND (
            i.contract_version_id = OLD.id
            OR (s.contract_id = OLD.contract_id AND s.inputs @> jsonb_build_object(
                'parts', jsonb_build_array(jsonb_build_object('terms', jsonb_build_object('version_id', OLD.id)))))
        )
    ) THEN
        RAISE EXCEPTION 'terms from % were billed and stay as they are: % refused, add a version', OLD.valid_from, TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_contract_versions_keep BEFORE UPDATE OR DELETE ON crm_contract_versions
    FOR EACH ROW EXECUTE FUNCTION crm_contract_versions_keep();

CREATE FUNCTION crm_contracts_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.client_id, NEW.site_id, NEW.starts_on) IS DISTINCT FROM (OLD.client_id, OLD.site_id, OLD.starts_on) AND EXISTS (
        SELECT FROM crm_invoices i JOIN crm_contract_versions v ON v.id = i.contract_version_id
        WHERE i.status <> 'draft' AND v.contract_id = OLD.id
    ) THEN
        RAISE EXCEPTION 'contract % was billed: its customer, site and first day stay', OLD.number
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_contracts_keep BEFORE UPDATE ON crm_contracts
    FOR EACH ROW EXECUTE FUNCTION crm_contracts_keep();

CREATE FUNCTION crm_billed_months_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A draft that is thrown away is gone by the time that its row goes, or goes in the same statement.
    IF EXISTS (SELECT FROM crm_invoices WHERE id = OLD.invoice_id AND status <> 'draft') THEN
        RAISE EXCEPTION 'this month is billed: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_billed_months_keep BEFORE UPDATE OR DELETE ON crm_billed_months
    FOR EACH ROW EXECUTE FUNCTION crm_billed_months_keep();
CREATE TRIGGER crm_billed_months_no_truncate BEFORE TRUNCATE ON crm_billed_months
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
"""
RELEASE = """
DROP TRIGGER crm_billed_months_no_truncate ON crm_billed_months;
DROP TRIGGER crm_billed_months_keep ON crm_billed_months;
DROP TRIGGER crm_contracts_keep ON crm_contracts;
DROP TRIGGER crm_contract_versions_keep ON crm_contract_versions;
DROP TRIGGER crm_usage_days_no_truncate ON crm_usage_days;
DROP TRIGGER crm_usage_snapshots_no_truncate ON crm_usage_snapshots;
DROP TRIGGER crm_usage_days_keep ON crm_usage_days;
DROP TRIGGER crm_usage_snapshots_keep ON crm_usage_snapshots;
DROP FUNCTION crm_billed_months_keep();
DROP FUNCTION crm_contracts_keep();
DROP FUNCTION crm_contract_versions_keep();
DROP FUNCTION crm_usage_keep();
"""


class Migration(migrations.Migration):

    dependencies = [("crm", "0005_billed_months"), ("accounts", "0008_no_truncate")]

    operations = [migrations.RunSQL(KEEP, RELEASE)]
