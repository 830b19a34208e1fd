"""What readings come to per hour and per day: sums for charts, and the energy ledger that bills stand on.

An hour begins on the hour of the site's own clock; a day is the site's local day, of 23 to 25 hours. Rows are computed by
hosting.telemetry.rollups only.
"""

from decimal import Decimal
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from hosting.models.inventory import Miner, Site
from hosting.models.telemetry import Bucket


class EnergySource(models.TextChoices):
    """Where a kWh figure comes from; an hour with any estimate in it is an estimate."""

    MINER = "miner", "reported by the machine"
    ESTIMATE = "estimate", "computed from the hashrate"
    GAP = "gap", "nothing was read"


class LedgerRows(models.QuerySet["MinerHour"]):
    def for_user(self, user: User) -> Self:
        """Hours in which a machine was the customer's own; staff see all."""
        return self if user.is_staff else self.filter(client=user)


class MinerPeriod(models.Model):
    """One machine in one period, as sums, so that periods can be added up.

    Mean hashrate = `hashrate_ths_sum / hashrate_samples`. `kwh` is rounded once, here, per machine and hour: every other
    energy figure is a sum of these. NULL is not zero: nothing was read.
    """

    starts_at = models.DateTimeField()
    period_s = models.IntegerField(help_text="Length: 3600 for an hour, 82800 to 90000 for a day.")
    miner = models.ForeignKey(Miner, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    site = models.ForeignKey(Site, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    samples = models.IntegerField(help_text="Readings.")
    hashrate_samples = models.IntegerField()
    hashrate_ths_sum = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    power_samples = models.IntegerField()
    power_w_sum = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    estimated_samples = models.IntegerField(help_text="Readings whose power is an estimate.")
    temperature_max_c = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    kwh = models.DecimalField("kWh", max_digits=14, decimal_places=6, null=True)
    source = models.TextField(choices=EnergySource)
    hashing_s = models.IntegerField(help_text="Seconds in which it hashed.")
    gap_s = models.IntegerField(help_text="Seconds of which no power is known.")

    class Meta:
        abstract = True

    @property
    def coverage(self) -> Decimal:
        """Share of the period of which the power is known, 0 to 1."""
        return 1 - Decimal(self.gap_s) / self.period_s


class MinerHour(MinerPeriod):
    """The energy ledger. The site and customer are those of the time when the hour was first computed."""

    pk = models.CompositePrimaryKey("starts_at", "miner_id")
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_index=False, db_constraint=False, related_name="+"
    )

    objects = LedgerRows.as_manager()

    class Meta:
        db_table = "miner_telemetry_hour"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(source="gap", kwh__isnull=True)
                | models.Q(source__in=["miner", "estimate"], kwh__gte=0),
                name="miner_hour_kwh_or_gap",
            ),
            models.CheckConstraint(
                condition=models.Q(gap_s__gte=0, gap_s__lte=models.F("period_s")), name="miner_hour_gap_within"
            ),
        ]

    def __str__(self) -> str:
        return f"miner {self.miner_id} in the hour of {self.starts_at:%Y-%m-%d %H:%M}"


class MinerDay(MinerPeriod):
    """Sums of the machine's hours on one local day of the site; a machine that moved has a row at each site."""

    pk = models.CompositePrimaryKey("starts_at", "miner_id", "site_id")

    class Meta:
        db_table = "miner_telemetry_day"

    def __str__(self) -> str:
        return f"miner {self.miner_id} on the day of {self.starts_at:%Y-%m-%d %H:%M}"


class GroupHour(Bucket):
    """One hour of a group of machines: `Bucket`'s sums, and the ledger rows of the group added up."""

    site = models.ForeignKey(Site, models.PROTECT, db_index=False, related_name="+")
    miners = models.IntegerField(help_text="Ledger rows, gaps among them.")
    period_s = models.IntegerField()
    kwh = models.DecimalField("kWh", max_digits=16, decimal_places=6, null=True)
    estimated_miners = models.IntegerField(help_text="Ledger rows that are an estimate.")
    hashing_s = models.BigIntegerField(help_text="Of all machines together.")
    gap_s = models.BigIntegerField(help_text="Of all machines together.")

    class Meta:
        abstract = True


class SiteHour(GroupHour):
    """A site's hour; `sweeps` and `swept` are what it was computed from, so that a late reading is noticed."""

    pk = models.CompositePrimaryKey("site_id", "bucket")
    site = models.ForeignKey(Site, models.PROTECT, db_index=False, related_name="ledger_hours")
    sweeps = models.IntegerField()
    swept = models.BigIntegerField(help_text="Readings that the sweeps of the hour had stored.")
    computed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "site_telemetry_hour"

    def __str__(self) -> str:
        return f"site {self.site_id} in the hour of {self.bucket:%Y-%m-%d %H:%M}"


class ClientHour(GroupHour):
    pk = models.CompositePrimaryKey("client_id", "site_id", "bucket")
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, db_index=False, related_name="+")

    class Meta:
        db_table = "client_telemetry_hour"

    def __str__(self) -> str:
        return f"client {self.client_id} in the hour of {self.bucket:%Y-%m-%d %H:%M}"
