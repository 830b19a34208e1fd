"""What a kWh costs at a site, over time."""

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Func, Q

from hosting.models.inventory import Site


class Validity(Func):
    """`[valid_from, valid_until)` as a range."""

    function = "TSTZRANGE"
    output_field: Any = DateTimeRangeField()


class ElectricityPrice(models.Model):
    """From `valid_from` until before `valid_until`; two prices of a site never hold at the same moment."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="electricity_prices", db_index=False)
    price_per_kwh = models.DecimalField("price per kWh", max_digits=12, decimal_places=6)
    currency = models.TextField(
        default="USD", db_default="USD", validators=[RegexValidator(r"^[A-Z]{3}$", "Give a code such as USD or EUR.")]
    )
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(
        null=True, blank=True, help_text="First moment after; empty: until further notice."
    )

    class Meta:
        db_table = "site_electricity_prices"
        ordering = ["site", "-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="electricity_price_not_empty",
            ),
            ExclusionConstraint(
                name="electricity_price_one_at_a_time",
                expressions=[
                    ("site", RangeOperators.EQUAL),
                    (Validity("valid_from", "valid_until"), RangeOperators.OVERLAPS),
                ],
                violation_error_message="Another price of this site holds in that time: end that one first.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price_per_kwh} {self.currency}/kWh from {self.valid_from:%Y-%m-%d %H:%M}"
