"""What was issued stays as it is: the database refuses what would change an invoice, its lines, payments or numbers."""

from django.db import migrations

# All columns but those named are compared, so that one which a later migration adds is kept as well.
KEEP = """
CREATE FUNCTION crm_invoices_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['status', 'paid_date', 'pdf_path', 'pdf_sha256', 'mailed_at'];
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.status = 'draft' THEN
            RETURN NEW;
        END IF;
        IF NEW.status = 'sent' AND NEW.held_for IS NULL AND NEW.invoice_number NOT LIKE 'draft-%' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'draft %: held back, without a number, or not on the way to sent', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE'
       AND to_jsonb(NEW) - moving = to_jsonb(OLD) - moving
       AND (NEW.status = OLD.status OR (OLD.status, NEW.status) IN (
            ('sent', 'overdue'), ('sent', 'paid'), ('overdue', 'paid'), ('overdue', 'sent'), ('paid', 'sent')))
       AND (OLD.pdf_path IS NULL OR NEW.pdf_path IS NOT DISTINCT FROM OLD.pdf_path)
       AND (OLD.pdf_sha256 IS NULL OR NEW.pdf_sha256 IS NOT DISTINCT FROM OLD.pdf_sha256)
       AND (OLD.mailed_at IS NULL OR NEW.mailed_at IS NOT DISTINCT FROM OLD.mailed_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'invoice % was issued and stays as it is: % refused, reverse it by a credit note',
        OLD.invoice_number, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER crm_invoices_keep BEFORE UPDATE OR DELETE ON crm_invoices
    FOR EACH ROW EXECUTE FUNCTION crm_invoices_keep();

CREATE FUNCTION crm_invoice_lines_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    -- The lock makes whoever edits a draft, and whoever issues it, wait for each other.
    FOR found IN
        SELECT invoice_number, status FROM crm_invoices
        WHERE id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.invoice_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.invoice_id END)
        ORDER BY id FOR SHARE
    LOOP
        IF found.status <> 'draft' THEN
            RAISE EXCEPTION 'invoice % was issued, its lines stay as they are: % refused', found.invoice_number, TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_invoice_lines_keep BEFORE INSERT OR UPDATE OR DELETE ON crm_invoice_lines
    FOR EACH ROW EXECUTE FUNCTION crm_invoice_lines_keep();

CREATE FUNCTION crm_invoices_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT COALESCE(sum(amount), 0) INTO total FROM crm_invoice_lines WHERE invoice_id = NEW.id;
    IF total <> NEW.net THEN
        RAISE EXCEPTION 'invoice %: its lines come to %, not to %', NEW.invoice_number, total, NEW.net
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER crm_invoices_add_up AFTER UPDATE ON crm_invoices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.status = 'draft' AND NEW.status <> 'draft') EXECUTE FUNCTION crm_invoices_add_up();

CREATE FUNCTION crm_payments_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payments are kept as written: % refused, enter one below zero instead', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER crm_payments_keep BEFORE UPDATE OR DELETE ON crm_payments
    FOR EACH ROW EXECUTE FUNCTION crm_payments_keep();

CREATE FUNCTION crm_invoice_counters_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.id, NEW.series, NEW.year, NEW.last) = (OLD.id, OLD.series, OLD.year, OLD.last + 1) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'counters of invoices go up by one at a time: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER crm_invoice_counters_keep BEFORE UPDATE OR DELETE ON crm_invoice_counters
    FOR EACH ROW EXECUTE FUNCTION crm_invoice_counters_keep();

CREATE TRIGGER crm_invoices_no_truncate BEFORE TRUNCATE ON crm_invoices
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER crm_invoice_lines_no_truncate BEFORE TRUNCATE ON crm_invoice_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER crm_payments_no_truncate BEFORE TRUNCATE ON crm_payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER crm_invoice_counters_no_truncate BEFORE TRUNCATE ON crm_invoice_counters
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
"""
RELEASE = """
DROP TRIGGER crm_invoices_no_truncate ON crm_invoices;
DROP TRIGGER crm_invoice_lines_no_truncate ON crm_invoice_lines;
DROP TRIGGER crm_payments_no_truncate ON crm_payments;
DROP TRIGGER crm_invoice_counters_no_truncate ON crm_invoice_counters;
DROP TRIGGER crm_invoice_counters_keep ON crm_invoice_counters;
DROP TRIGGER crm_payments_keep ON crm_payments;
DROP TRIGGER crm_invoices_add_up ON crm_invoices;
DROP TRIGGER crm_invoice_lines_keep ON crm_invoice_lines;
DROP TRIGGER crm_invoices_keep ON crm_invoices;
DROP FUNCTION crm_invoice_counters_keep();
DROP FUNCTION crm_payments_keep();
DROP FUNCTION crm_invoices_add_up();
DROP FUNCTION crm_invoice_lines_keep();
DROP FUNCTION crm_invoices_keep();
"""


class Migration(migrations.Migration):

    dependencies = [("crm", "0002_invoice_numbers"), ("accounts", "0008_no_truncate")]

    operations = [migrations.RunSQL(KEEP, RELEASE)]
