"""Readings: the partitioned history, each machine's latest, and the five-minute sums that charts read."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from hosting.models.inventory import Miner, Site


class TelemetryRows(models.QuerySet["Telemetry"]):
    def for_user(self, user: User) -> Self:
        """Readings of machines that the user may see."""
        if user.is_staff and user.site_ids is None:
            return self
        return self.filter(miner_id__in=Miner.objects.for_user(user).values("pk"))


class Telemetry(models.Model):
    """One reading of one machine in one minute; partitioned by day of `recorded_at` (UTC).

    The table is made by hand-written SQL (migration 0002): no surrogate key, no database foreign key, and the primary key
    starts with the time, so that a sweep appends to the end of one index. What could not be read is NULL.
    """

    pk = models.CompositePrimaryKey("recorded_at", "miner_id")
    recorded_at = models.DateTimeField(help_text="The sweep's minute by the database clock.")
    miner = models.ForeignKey(Miner, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    hashrate = models.DecimalField(max_digits=10, decimal_places=2, null=True, help_text="TH/s, shortest window.")
    temperature = models.DecimalField(max_digits=5, decimal_places=2, null=True, help_text="Hottest chip, °C.")
    power_consumption = models.DecimalField(max_digits=10, decimal_places=2, null=True, help_text="Wall power, W.")
    fan_speed = models.DecimalField(max_digits=10, decimal_places=2, null=True, help_text="Mean of the fans, RPM.")
    power_estimated = models.BooleanField(help_text="The device reports no power; ours is computed from its hashrate.")

    objects = TelemetryRows.as_manager()

    class Meta:
        db_table = "miner_telemetry"

    def __str__(self) -> str:
        return f"miner {self.miner_id} at {self.recorded_at:%Y-%m-%d %H:%M}"


class MinerLatestRows(models.QuerySet["MinerLatest"]):
    def for_user(self, user: User) -> Self:
        """Latest readings of machines that the user may see."""
        if user.is_staff and user.site_ids is None:
            return self
        return self.filter(miner__in=Miner.objects.for_user(user))


class MinerLatest(models.Model):
    """What is known of a machine now: one row each, rewritten by every sweep.

    Numbers are those of the last good reading, at `seen_at`. No indexed column is ever rewritten (fillfactor 50), so that
    PostgreSQL updates the row in place.
    """

    miner = models.OneToOneField(Miner, models.CASCADE, primary_key=True, related_name="latest")
    attempted_at = models.DateTimeField(help_text="Minute of the last sweep that tried.")
    seen_at = models.DateTimeField(null=True, help_text="Minute of the last good reading.")
    hashrate_ths = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    hashrate_avg_ths = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    temperature_c = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    power_w = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    power_estimated = models.BooleanField(default=False)
    fan_rpm = ArrayField(models.IntegerField(), default=list)
    uptime_s = models.BigIntegerField(null=True)
    accepted = models.BigIntegerField(null=True)
    rejected = models.BigIntegerField(null=True)
    hardware_errors = models.BigIntegerField(null=True)
    error = models.TextField(null=True, help_text="Why the last attempt gave no reading; empty when it did.")
    # Read every fifth minute; the last columns of the table, so that the minute's rewrite of the row logs little of them.
    details_at = models.DateTimeField(null=True, help_text="When the boards and what follows were last read.")
    board_temperature_c = models.DecimalField(max_digits=5, decimal_places=2, null=True, help_text="Hottest board, °C.")
    inlet_temperature_c = models.DecimalField(max_digits=5, decimal_places=2, null=True, help_text="Air going in, °C.")
    error_codes = ArrayField(
        models.TextField(), null=True, help_text="The maker's own codes, present at the last look."
    )
    pool_url = models.TextField(null=True, help_text="The pool it mines for; asked once an hour.")
    pool_worker = models.TextField(null=True)
    boards = models.JSONField(null=True, help_text="Per hash board: rate, chips, temperatures, errors.")

    objects = MinerLatestRows.as_manager()

    class Meta:
        db_table = "miner_latest"
        verbose_name = "latest reading"

    def __str__(self) -> str:
        return f"latest of miner {self.pk}"


class MinerIdentity(models.Model):
    """What a machine says it is, and the cheapest command set that its firmware answers; written only on change."""

    miner = models.OneToOneField(Miner, models.CASCADE, primary_key=True, related_name="identity")
    make = models.TextField(null=True)
    model = models.TextField(null=True)
    firmware = models.TextField(null=True)
    command_set = models.TextField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "miner_identity"
        verbose_name_plural = "miner identities"

    def __str__(self) -> str:
        return f"{self.make} {self.model} ({self.firmware})"


class TelemetrySweep(models.Model):
    """One minute of one site: that it was swept, how long it took, what failed and why."""

    pk = models.CompositePrimaryKey("site_id", "minute")
    site = models.ForeignKey(Site, models.CASCADE, db_index=False, related_name="sweeps")
    minute = models.DateTimeField()
    miners = models.IntegerField()
    stored = models.IntegerField(help_text="Readings of this minute in the telemetry table.")
    failed = models.JSONField(default=dict, help_text="Failure reason to number of machines.")
    rejected_values = models.JSONField(default=dict, help_text="metric:reason to number of values taken as unknown.")
    wall_s = models.DecimalField(max_digits=8, decimal_places=3)
    cpu_s = models.DecimalField(max_digits=8, decimal_places=3)

    class Meta:
        db_table = "telemetry_sweeps"

    def __str__(self) -> str:
        return f"sweep of site {self.site_id} at {self.minute:%Y-%m-%d %H:%M}"

    @property
    def failed_count(self) -> int:
        return sum(self.failed.values())


class Bucket(models.Model):
    """Five minutes of a group of machines, as sums, so that sweeps can add to it and groups can be added up.

    Mean hashrate of the group = `hashrate_ths_sum / minutes`; minutes without a sweep are not in it.
    """

    site = models.ForeignKey(Site, models.CASCADE, db_index=False, related_name="+")
    bucket = models.DateTimeField(help_text="Start of the five minutes.")
    minutes = models.SmallIntegerField(help_text="Sweeps in this bucket.")
    samples = models.IntegerField(help_text="Good readings in this bucket.")
    hashrate_ths_sum = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    power_w_sum = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    estimated_samples = models.IntegerField(help_text="Readings whose power is an estimate.")
    temperature_max_c = models.DecimalField(max_digits=5, decimal_places=2, null=True)

    class Meta:
        abstract = True


class TelemetryGap(models.Model):
    """A minute of a site that was read and is lost for good: the spool was full, or its file damaged."""

    pk = models.CompositePrimaryKey("site_id", "minute")
    site = models.ForeignKey(Site, models.CASCADE, db_index=False, related_name="+")
    minute = models.DateTimeField()
    reason = models.TextField()
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "telemetry_gaps"

    def __str__(self) -> str:
        return f"site {self.site_id} has no {self.minute:%Y-%m-%d %H:%M}: {self.reason}"


class SiteBucket(Bucket):
    pk = models.CompositePrimaryKey("site_id", "bucket")

    class Meta:
        db_table = "site_telemetry_5min"

    def __str__(self) -> str:
        return f"site {self.site_id} at {self.bucket:%Y-%m-%d %H:%M}"


class ClientBucketRows(models.QuerySet["ClientBucket"]):
    def for_user(self, user: User) -> Self:
        """A client's own sums; staff see all, or those of their sites."""
        if not user.is_staff:
            return self.filter(client=user)
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class ClientBucket(Bucket):
    """The same per client and site: a client's chart costs 288 small rows a day however many machines they own."""

    pk = models.CompositePrimaryKey("client_id", "site_id", "bucket")
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="+")

    objects = ClientBucketRows.as_manager()

    class Meta:
        db_table = "client_telemetry_5min"

    def __str__(self) -> str:
        return f"client {self.client_id} at {self.bucket:%Y-%m-%d %H:%M}"
