"""The database refuses moves that curtailment/states.py does not name, changes of what was approved, and one's own approval."""

from datetime import timedelta

from django.db import migrations, models
from django.db.models import F, Q

from curtailment import guards


class Migration(migrations.Migration):

    dependencies = [("curtailment", "0006_row_security")]

    operations = [
        migrations.AddConstraint(
            model_name="curtailmentplan",
            constraint=models.CheckConstraint(
                condition=Q(recovery_time__lte=F("scheduled_time") + timedelta(days=7)),
                name="curtailment_plans_a_week_at_most",
                violation_error_message="A plan lasts a week at most: give an earlier end.",
            ),
        ),
        migrations.RunSQL(
            guards.plan_guard() + guards.target_guard() + guards.approval_guard(), guards.removal()
        ),
    ]
