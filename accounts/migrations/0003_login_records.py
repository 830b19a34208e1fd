"""The trail of sign-ins, which the database itself keeps from being edited."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


# Only the retention of accounts/signins/trail.py may delete, and only what is older than a year.
KEEP = """
CREATE FUNCTION keep_login_records() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('minefarm.retention', true) = 'login_records'
       AND OLD.login_time < now() - interval '365 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'login_records are kept as written for a year: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER keep_login_records BEFORE UPDATE OR DELETE ON login_records
    FOR EACH ROW EXECUTE FUNCTION keep_login_records();
"""
RELEASE = """
DROP TRIGGER keep_login_records ON login_records;
DROP FUNCTION keep_login_records();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_user_access'),
    ]

    operations = [
        migrations.CreateModel(
            name='LoginRecord',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('email', models.TextField(null=True)),
                ('success', models.BooleanField()),
                ('outcome', models.TextField(choices=[('ok', 'Signed in'), ('second_factor_asked', 'Password right, code asked'), ('bad_password', 'Wrong password'), ('unknown_user', 'No such account'), ('disabled', 'Account disabled'), ('expired_access', 'No access at this time'), ('throttled', 'Too many tries'), ('second_factor_failed', 'Wrong code'), ('second_factor_throttled', 'Too many codes'), ('malformed', 'Not an address and a password')])),
                ('login_time', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ip_address', models.TextField(null=True, verbose_name='address')),
                ('location', models.TextField(null=True)),
                ('user_agent', models.TextField(null=True, verbose_name='device')),
                ('session_ref', models.TextField(null=True, verbose_name='session')),
                ('user', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='login_records', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'sign-in',
                'db_table': 'login_records',
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['user', '-id'], name='login_records_user'), models.Index(fields=['login_time'], name='login_records_time')],
                'constraints': [models.CheckConstraint(condition=models.Q(('outcome__in', ['ok', 'second_factor_asked', 'bad_password', 'unknown_user', 'disabled', 'expired_access', 'throttled', 'second_factor_failed', 'second_factor_throttled', 'malformed'])), name='login_records_outcome_known'), models.CheckConstraint(condition=models.Q(models.Q(('outcome', 'ok'), ('success', True)), models.Q(('success', False), models.Q(('outcome', 'ok'), _negated=True)), _connector='OR'), name='login_records_success_is_ok')],
            },
        ),
        migrations.RunSQL(KEEP, RELEASE),
    ]
