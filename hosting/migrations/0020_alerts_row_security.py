"""What customers' requests may read of alerts: those of their own machines, without what staff wrote; and the first rules."""

from django.db import migrations

from hosting.alerts.kinds import FIRST_RULES
from minefarm.lib.rls import portal_role, protect


def add_rules(apps, schema_editor):
    rule = apps.get_model("hosting", "AlertRule")
    rule.objects.bulk_create(
        (
            rule(kind=kind, severity=severity, threshold=threshold, minutes=minutes)
            for kind, severity, threshold, minutes in FIRST_RULES
        ),
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [("hosting", "0019_alerts")]

    operations = [
        portal_role(),
        protect(
            "alerts",
            using="miner_id = ANY(ARRAY(SELECT id FROM hosting_miners))",
            hide=["rule_id", "machines", "suppressed_by_id", "acknowledged_at", "acknowledged_by_id", "note", "told_at"],
        ),
        migrations.RunSQL(
            "GRANT SELECT (nameplate_ths) ON hosting_miners TO minefarm_portal",
            "REVOKE SELECT (nameplate_ths) ON hosting_miners FROM minefarm_portal",
        ),
        # Rewritten each minute for whatever is wrong.
        migrations.RunSQL(
            "ALTER TABLE alert_signals SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);"
            " ALTER TABLE alerts SET (fillfactor = 80)",
            "ALTER TABLE alert_signals RESET (fillfactor, autovacuum_vacuum_scale_factor);"
            " ALTER TABLE alerts RESET (fillfactor)",
        ),
        migrations.RunPython(add_rules, migrations.RunPython.noop),
    ]
