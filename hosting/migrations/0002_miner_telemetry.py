"""The partitioned history, by hand: Django cannot make partitioned tables.

docs/why/decisions/0003-telemetry-table.md says why the table looks like this. Day partitions are made by
`maintain_partitions` and, where one is missing, by the sweep itself.
"""

import django.db.models.deletion
from django.db import migrations, models

CREATE = """
CREATE TABLE miner_telemetry (
    recorded_at timestamptz NOT NULL DEFAULT now(),
    miner_id integer NOT NULL,
    power_estimated boolean NOT NULL DEFAULT false,
    hashrate numeric(10, 2) CHECK (hashrate BETWEEN 0 AND 5000),
    temperature numeric(5, 2) CHECK (temperature BETWEEN -40 AND 200),
    power_consumption numeric(10, 2) CHECK (power_consumption BETWEEN 0 AND 20000),
    fan_speed numeric(10, 2) CHECK (fan_speed BETWEEN 0 AND 20000),
    CONSTRAINT idx_telemetry_recorded PRIMARY KEY (recorded_at, miner_id)
) PARTITION BY RANGE (recorded_at)
"""


class Migration(migrations.Migration):

    dependencies = [("hosting", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, "DROP TABLE miner_telemetry")],
            state_operations=[
                migrations.CreateModel(
                    name='Telemetry',
                    fields=[
                        ('pk', models.CompositePrimaryKey('recorded_at', 'miner_id', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('recorded_at', models.DateTimeField(help_text="The sweep's minute by the database clock.")),
                        ('hashrate', models.DecimalField(decimal_places=2, help_text='TH/s, shortest window.', max_digits=10, null=True)),
                        ('temperature', models.DecimalField(decimal_places=2, help_text='Hottest chip, °C.', max_digits=5, null=True)),
                        ('power_consumption', models.DecimalField(decimal_places=2, help_text='Wall power, W.', max_digits=10, null=True)),
                        ('fan_speed', models.DecimalField(decimal_places=2, help_text='Mean of the fans, RPM.', max_digits=10, null=True)),
                        ('power_estimated', models.BooleanField(help_text='The device reports no power; ours is computed from its hashrate.')),
                        ('miner', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='hosting.miner')),
                    ],
                    options={
                        'db_table': 'miner_telemetry',
                    },
                ),
            ],
        ),
    ]
