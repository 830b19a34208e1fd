"""The model catalogue. A later change of a model needs a migration of its own: this one never touches rows that exist."""

from django.db import migrations

from hosting.catalogue import CATALOGUE


def add_models(apps, schema_editor):
    miner_model = apps.get_model("hosting", "MinerModel")
    miner_model.objects.bulk_create(
        (
            miner_model(
                name=spec.name,
                manufacturer=spec.manufacturer,
                hashrate=spec.hashrate_ths,
                power_consumption=spec.power_w,
                efficiency=spec.efficiency_j_th,
                release_date=spec.release_date,
            )
            for spec in CATALOGUE
        ),
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [("hosting", "0002_miner_telemetry")]

    operations = [migrations.RunPython(add_models, migrations.RunPython.noop)]
