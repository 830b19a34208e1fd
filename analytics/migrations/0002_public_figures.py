"""Customers may read the market: it is the same for everybody."""

from django.db import migrations

from minefarm.lib.rls import portal_role, share


class Migration(migrations.Migration):

    dependencies = [("analytics", "0001_market"), ("hosting", "0005_row_security")]

    operations = [portal_role(), share("market_analytics"), share("technical_indicators")]
