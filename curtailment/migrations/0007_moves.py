"""The database refuses moves that curtailment/states.py does not name, changes of what was approved, and one's own approval."""

from datetime import timedelta

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

from curtailment import guards


class Migration(migrations.Migration):

    dependencies = [("curtailment", "0006_row_security")]

    operations = [
        migrations.AddField(
            model_name="curtailmentplan",
            name="edited_by",
            field=models.ForeignKey(
                blank=True,
                db_column="edited_by",
                db_index=False,
                help_text="Who changed it last; neither they nor who made it approve it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
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
