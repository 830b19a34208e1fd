"""Sites, the model catalogue, and the machines."""

from typing import Self
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, validate_ipv46_address
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from hosting.states import Collector, MinerStatus
from hosting.zones import minutes_past_the_hour, validate_time_zone

# PostgreSQL refuses these to customers' requests (migration row_security): a query for a customer must not name them.
SITE_STAFF_COLUMNS = ("capacity_mw", "total_miners", "active_miners", "collector")
MINER_STAFF_COLUMNS = ("cgminer_ip", "cgminer_port", "cgminer_enabled")


class SiteRows(models.QuerySet["Site"]):
    def for_user(self, user: User) -> Self:
        """Sites the user may know of: staff all or their own, a guest their own, a client those that hold machines of theirs."""
        if user.role == Role.CLIENT:
            return self.filter(pk__in=Miner.objects.filter(client=user).values("site")).defer(*SITE_STAFF_COLUMNS)
        if user.site_ids is None:
            return self if user.is_staff else self.none()
        reached = self.filter(pk__in=user.site_ids)
        return reached if user.is_staff else reached.defer(*SITE_STAFF_COLUMNS)

    def named(self, name_or_id: str) -> "Site":
        """The site with this name or number; raises Site.DoesNotExist or Site.MultipleObjectsReturned."""
        matches = Q(name__iexact=name_or_id)
        if name_or_id.isdecimal() and len(name_or_id) < 10:
            matches |= Q(pk=int(name_or_id))
        return self.get(matches)


class Site(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.TextField()
    location = models.TextField(null=True, blank=True)
    capacity_mw = models.DecimalField(
        "capacity (MW)", max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    time_zone = models.TextField(
        default="UTC",
        db_default="UTC",
        validators=[validate_time_zone],
        help_text="IANA name such as Europe/Berlin: its hours, days and months are those of energy and bills.",
    )
    total_miners = models.IntegerField(default=0, db_default=0, editable=False)
    active_miners = models.IntegerField(default=0, db_default=0, editable=False)
    collector = models.TextField(
        "read by",
        choices=Collector,
        default=Collector.FARM,
        db_default=Collector.FARM,
        help_text="A queue of its own is called telemetry.site-ID: a worker in the site's network takes it with -Q.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SiteRows.as_manager()

    class Meta:
        db_table = "hosting_sites"
        ordering = ["name"]
        indexes = [models.Index(fields=["name"], name="idx_hosting_sites_name")]
        constraints = [
            models.CheckConstraint(condition=Q(collector__in=Collector.values), name="hosting_sites_collector_known")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        before = Site.objects.filter(pk=self.pk).values_list("time_zone", flat=True).first()
        if before in {None, self.time_zone} or self.time_zone not in available_timezones():
            return
        moved = minutes_past_the_hour(before) != minutes_past_the_hour(self.time_zone)
        if moved and self.ledger_hours.exists():
            raise ValidationError(
                {
                    "time_zone": f"Energy of this site is kept by the hours of {before}, which begin at another minute:"
                    " make a new site and move the machines."
                }
            )


class MinerModel(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.TextField()
    manufacturer = models.TextField(null=True, blank=True)
    hashrate = models.DecimalField("hashrate (TH/s)", max_digits=10, decimal_places=2, null=True, blank=True)
    power_consumption = models.DecimalField("power (W)", max_digits=10, decimal_places=2, null=True, blank=True)
    efficiency = models.DecimalField("efficiency (J/TH)", max_digits=10, decimal_places=4, null=True, blank=True)
    release_date = models.DateField(null=True, blank=True)
    msrp = models.DecimalField("list price (USD)", max_digits=10, decimal_places=2, null=True, blank=True)

    class Meta:
        db_table = "miner_models"
        ordering = ["manufacturer", "name"]
        verbose_name = "miner model"
        constraints = [
            models.UniqueConstraint(fields=["name"], name="idx_miner_models_name"),
            models.CheckConstraint(
                condition=(Q(hashrate__isnull=True) | Q(hashrate__gt=0))
                & (Q(power_consumption__isnull=True) | Q(power_consumption__gt=0)),
                name="miner_models_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.manufacturer} {self.name}" if self.manufacturer else self.name

    def clean(self) -> None:
        if self.efficiency is None and self.hashrate and self.power_consumption:
            self.efficiency = round(self.power_consumption / self.hashrate, 4)


class MinerRows(models.QuerySet["Miner"]):
    def for_user(self, user: User) -> Self:
        """Machines the user may see: staff all or those of their sites, a guest those of their sites, a client their own."""
        if user.role == Role.CLIENT:
            return self.filter(client=user).defer(*MINER_STAFF_COLUMNS)
        if user.site_ids is None:
            return self if user.is_staff else self.none()
        reached = self.filter(site__in=user.site_ids)
        return reached if user.is_staff else reached.defer(*MINER_STAFF_COLUMNS)

    def polled(self) -> Self:
        """Machines that the collector reads every minute."""
        return self.filter(cgminer_enabled=True, cgminer_ip__isnull=False)

    def with_latest(self) -> Self:
        """Join what a list shows of each machine: its model, site, owner and latest reading."""
        joined = self.select_related("miner_model", "site", "client", "latest")
        unseen = ("client__password", "latest__boards", "latest__error_codes")
        return joined.defer(*unseen, *(f"site__{column}" for column in SITE_STAFF_COLUMNS))


class Miner(models.Model):
    id = models.AutoField(primary_key=True)
    serial_number = models.TextField()
    miner_model = models.ForeignKey(MinerModel, models.PROTECT, null=True, blank=True, related_name="miners")
    # db_index off: idx_hosting_miners_site and _client serve the foreign keys.
    site = models.ForeignKey(Site, models.PROTECT, null=True, blank=True, related_name="miners", db_index=False)
    status = models.TextField(choices=MinerStatus, default=MinerStatus.ACTIVE, db_default=MinerStatus.ACTIVE)
    cgminer_ip = models.TextField(
        "CGMiner IP",
        null=True,
        blank=True,
        validators=[validate_ipv46_address],
        help_text="An address, not a host name.",
    )
    cgminer_port = models.IntegerField(
        "CGMiner port",
        default=4028,
        db_default=4028,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
    )
    cgminer_enabled = models.BooleanField(
        "read every minute", default=False, db_default=False, help_text="Poll this machine for telemetry."
    )
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="miners",
        db_index=False,
        limit_choices_to={"role": Role.CLIENT},
        help_text="The customer who owns the machine.",
    )
    purchase_date = models.DateField(null=True, blank=True)
    warranty_expiry = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects = MinerRows.as_manager()

    class Meta:
        db_table = "hosting_miners"
        ordering = ["serial_number"]
        indexes = [
            models.Index(fields=["site"], name="idx_hosting_miners_site"),
            models.Index(fields=["status"], name="idx_hosting_miners_status"),
            models.Index(fields=["client"], name="idx_hosting_miners_client"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["serial_number"], name="idx_hosting_miners_serial"),
            models.CheckConstraint(condition=Q(status__in=MinerStatus.values), name="hosting_miners_status_known"),
            models.CheckConstraint(condition=Q(cgminer_port__range=(1, 65535)), name="hosting_miners_port_valid"),
            # Two rows with one address would count one machine's hashrate twice.
            models.UniqueConstraint(
                fields=["site", "cgminer_ip", "cgminer_port"],
                name="hosting_miners_address_unique",
                violation_error_message="Another machine of this site has this IP and port.",
            ),
        ]

    def __str__(self) -> str:
        return self.serial_number

    @property
    def address(self) -> str | None:
        """`IP:port` of the CGMiner API, for staff eyes only."""
        if self.cgminer_ip is None:
            return None
        host = f"[{self.cgminer_ip}]" if ":" in self.cgminer_ip else self.cgminer_ip
        return f"{host}:{self.cgminer_port}"

    def clean(self) -> None:
        self.cgminer_ip = self.cgminer_ip or None
        if self.cgminer_enabled and not self.cgminer_ip:
            raise ValidationError({"cgminer_ip": "Enter the machine's IP address, or switch reading off."})
