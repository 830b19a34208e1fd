"""The trail of sign-ins and the record of views cannot be emptied at a stroke either: row triggers do not see a TRUNCATE."""

from django.db import migrations

# Only a test database, whose connections say so, is flushed between tests (tests/conftest.py).
REFUSE = """
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('minefarm.flush', true) = 'tests' AND current_database() LIKE 'test\\_%' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% are kept as written: TRUNCATE refused', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER login_records_no_truncate BEFORE TRUNCATE ON login_records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER impersonations_no_truncate BEFORE TRUNCATE ON impersonations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
"""
RELEASE = """
DROP TRIGGER login_records_no_truncate ON login_records;
DROP TRIGGER impersonations_no_truncate ON impersonations;
DROP FUNCTION refuse_truncate();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_failed_confirmations'),
    ]

    operations = [
        migrations.RunSQL(REFUSE, RELEASE),
    ]
