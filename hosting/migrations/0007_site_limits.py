"""The foreign key of accounts' user_sites, and what guests see of the sites that they are limited to.

The key restricts: a limit that vanished with its site would open every other site. Behind the wall the rows of user_sites show
themselves to guests alone, so that policies need not ask for the role again; a client's limits, left from another role, are
not there.
"""

import django.db.models.deletion
from django.db import migrations, models

from minefarm.lib.rls import ME, protect

MY_SITES = "ANY(ARRAY(SELECT site_id FROM user_sites))"
OF_MY_MINERS = "ANY(ARRAY(SELECT site_id FROM hosting_miners))"


def policy(table: str, *, now: str, before: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"ALTER POLICY portal ON {table} USING ({now}) WITH CHECK ({now})",
        f"ALTER POLICY portal ON {table} USING ({before}) WITH CHECK ({before})",
    )


class Migration(migrations.Migration):

    dependencies = [("hosting", "0005_row_security"), ("accounts", "0005_row_security")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE user_sites ADD CONSTRAINT user_sites_site_fk FOREIGN KEY (site_id) REFERENCES hosting_sites (id)"
            " ON DELETE RESTRICT",
            "ALTER TABLE user_sites DROP CONSTRAINT user_sites_site_fk",
        ),
        protect("user_sites", using="user_id = {me} AND EXISTS (SELECT FROM users WHERE users.role = 'guest')"),
        policy("hosting_miners", now=f"client_id = {ME} OR site_id = {MY_SITES}", before=f"client_id = {ME}"),
        policy("hosting_sites", now=f"id = {OF_MY_MINERS} OR id = {MY_SITES}", before=f"id = {OF_MY_MINERS}"),
        migrations.CreateModel(
            name="SiteOfLimit",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "site",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="hosting.site"
                    ),
                ),
            ],
            options={
                "verbose_name": "limit of a person to this site",
                "verbose_name_plural": "limits of people to this site",
                "db_table": "user_sites",
                "managed": False,
            },
        ),
    ]
