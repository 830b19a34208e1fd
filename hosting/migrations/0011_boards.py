"""Each machine's boards, board and inlet temperature, error codes and pool, beside its latest reading."""

import django.contrib.postgres.fields
from django.db import migrations, models

COLUMNS = {
    "details_at": models.DateTimeField(help_text="When the boards and what follows were last read.", null=True),
    "board_temperature_c": models.DecimalField(decimal_places=2, help_text="Hottest board, °C.", max_digits=5, null=True),
    "inlet_temperature_c": models.DecimalField(decimal_places=2, help_text="Air going in, °C.", max_digits=5, null=True),
    "error_codes": django.contrib.postgres.fields.ArrayField(
        base_field=models.TextField(),
        help_text="The maker's own codes, present at the last look.",
        null=True,
        size=None,
    ),
    "pool_url": models.TextField(help_text="The pool it mines for; asked once an hour.", null=True),
    "pool_worker": models.TextField(null=True),
    "boards": models.JSONField(help_text="Per hash board: rate, chips, temperatures, errors.", null=True),
}


class Migration(migrations.Migration):
    dependencies = [("hosting", "0008_energy_ledger")]

    operations = [
        migrations.AddField(model_name="minerlatest", name=name, field=column) for name, column in COLUMNS.items()
    ]
