"""No marker lets a TRUNCATE of kept rows through any more: tests empty their database as superusers (tests/emptying.py)."""

from django.db import migrations

REFUSE = """
CREATE OR REPLACE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are kept as written: TRUNCATE refused', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_no_truncate'),
    ]

    operations = [
        migrations.RunSQL(REFUSE, migrations.RunSQL.noop),
    ]
