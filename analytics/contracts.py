"""How a site's electricity is priced where it is not one fixed price: by the hours of its week, or by a day-ahead market."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from accounts.models import User
from analytics.tariff import BadTariff, Band, days_of
from hosting.models import Site


class PriceKind(models.TextChoices):
    """Where the prices of a contract come from."""

    TARIFF = "tariff", "time of use: the bands below"
    ENERGY_CHARTS = "energy-charts", "day-ahead, European bidding zone, in EUR"
    NYISO = "nyiso", "day-ahead, New York zone, in USD"


DAY_AHEAD = {PriceKind.ENERGY_CHARTS: "EUR", PriceKind.NYISO: "USD"}


class Contracts(models.QuerySet["PowerContract"]):
    def for_user(self, user: User) -> "Contracts":
        """Staff, within their sites; customers none."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class PowerContract(models.Model):
    """One per site. From `starts_on` its prices are written into the price history ahead of time; what was before stays."""

    site = models.OneToOneField(Site, models.CASCADE, related_name="power_contract")
    kind = models.TextField(choices=PriceKind, default=PriceKind.TARIFF, db_default=PriceKind.TARIFF)
    zone = models.TextField(
        blank=True,
        default="",
        db_default="",
        validators=[RegexValidator(r"^[A-Za-z0-9 ._-]{1,40}$", "Give the zone's name, such as DE-LU or N.Y.C.")],
        help_text="Of a day-ahead market: a bidding zone such as DE-LU, or a New York zone such as WEST.",
    )
    price_per_kwh = models.DecimalField(
        "price or surcharge per kWh",
        max_digits=12,
        decimal_places=6,
        default=0,
        db_default=0,
        help_text="Of a tariff: what holds outside of its bands. Of a day-ahead market: what is added to its price.",
    )
    currency = models.TextField(
        default="USD",
        db_default="USD",
        validators=[RegexValidator(r"^[A-Z]{3}$", "Give a code such as USD or EUR.")],
        help_text="Profit is counted in USD only.",
    )
    starts_on = models.DateField(
        help_text="First day, by the site's clock. Prices from this day on are replaced when the contract is saved."
    )

    objects = Contracts.as_manager()

    class Meta:
        db_table = "power_contracts"
        ordering = ["site"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=PriceKind.values), name="power_contract_kind_known")
        ]

    def __str__(self) -> str:
        return f"{self.site}: {self.get_kind_display()}"

    def clean(self) -> None:
        told = DAY_AHEAD.get(PriceKind(self.kind)) if self.kind in PriceKind.values else None
        if told and not self.zone:
            raise ValidationError({"zone": "Name the zone of the market."})
        if told and self.currency != told:
            raise ValidationError({"currency": f"This market's prices are in {told}."})

    def starts_at(self) -> datetime:
        return datetime.combine(self.starts_on, time(), ZoneInfo(self.site.time_zone))

    def bands_read(self) -> list[Band]:
        """Its bands for analytics.tariff."""
        return [band.read() for band in self.bands.all()]


def validate_days(text: str) -> None:
    try:
        days_of(text)
    except BadTariff as bad:
        raise ValidationError(str(bad)) from None


class TariffBand(models.Model):
    """A price for some hours of some weekdays, by the site's clock."""

    contract = models.ForeignKey(PowerContract, models.CASCADE, related_name="bands")
    weekdays = models.TextField(
        default="mon-sun", validators=[validate_days], help_text="mon-fri, or sat, sun, or mon-sun."
    )
    from_hour = models.SmallIntegerField(
        "from", validators=[MinValueValidator(0), MaxValueValidator(23)], help_text="Full hour, 0 to 23."
    )
    until_hour = models.SmallIntegerField(
        "until",
        validators=[MinValueValidator(1), MaxValueValidator(24)],
        help_text="1 to 24; 22 to 6 runs over midnight.",
    )
    price_per_kwh = models.DecimalField("price per kWh", max_digits=12, decimal_places=6)

    class Meta:
        db_table = "power_contract_bands"
        ordering = ["from_hour"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(from_hour__range=(0, 23), until_hour__range=(1, 24)), name="tariff_band_hours"
            )
        ]

    def __str__(self) -> str:
        return f"{self.weekdays} {self.from_hour} to {self.until_hour}"

    def read(self) -> Band:
        return Band(days_of(self.weekdays), self.from_hour, self.until_hour, self.price_per_kwh)
