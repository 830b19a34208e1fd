"""Where each site's machines may be. Ports that machines have today stay allowed, so that existing farms go on."""

from typing import Any

import django.contrib.postgres.fields
import django.core.validators
from django.db import migrations, models


def keep_ports(apps: Any, _editor: Any) -> None:
    sites, miners = apps.get_model("hosting", "Site").objects, apps.get_model("hosting", "Miner").objects
    for site in sites.all():
        used = miners.filter(site=site, cgminer_ip__isnull=False).exclude(cgminer_port=4028)
        ports = sorted(set(used.values_list("cgminer_port", flat=True)))[:64]
        if ports:
            sites.filter(pk=site.pk).update(poll_ports=ports)


class Migration(migrations.Migration):

    dependencies = [("hosting", "0012_miner_credentials")]

    operations = [
        migrations.AddField(
            model_name="site",
            name="poll_networks",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                blank=True,
                db_default=[],
                default=list,
                help_text="Such as 10.0.3.0/24, comma-separated, at most 4,096 addresses each. MineFarm connects to no"
                " machine outside of them. Empty: every network of MINEFARM_POLL_CIDRS.",
                size=None,
                verbose_name="networks of machines",
            ),
        ),
        migrations.AddField(
            model_name="site",
            name="poll_ports",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.IntegerField(
                    validators=[
                        django.core.validators.MinValueValidator(1),
                        django.core.validators.MaxValueValidator(65535),
                    ]
                ),
                blank=True,
                db_default=[],
                default=list,
                help_text="CGMiner ports besides 4028, comma-separated.",
                size=64,
                verbose_name="further ports of machines",
            ),
        ),
        migrations.AlterField(
            model_name="miner",
            name="cgminer_ip",
            field=models.TextField(
                blank=True, help_text="An address, not a host name.", null=True, verbose_name="CGMiner IP"
            ),
        ),
        migrations.RunPython(keep_ports, migrations.RunPython.noop),
    ]
