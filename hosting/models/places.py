"""Where machines stand and what feeds them: buildings, racks with numbered slots, and circuits."""

from decimal import Decimal
from typing import Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import User
from hosting.models.inventory import Site

MAX_SLOTS = 1000


class BuildingRows(models.QuerySet["Building"]):
    def for_user(self, user: User) -> Self:
        """Buildings of the sites that a member of staff reaches; customers see none."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class Building(models.Model):
    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="buildings", db_index=False)
    name = models.TextField(help_text="A hall or a container, as people call it.")

    objects = BuildingRows.as_manager()

    class Meta:
        db_table = "hosting_buildings"
        ordering = ["site__name", "name"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="hosting_buildings_name")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        before = Building.objects.filter(pk=self.pk).values_list("site_id", flat=True).first()
        if before is not None and before != self.site_id and self.racks.exists():
            raise ValidationError(
                {"site": "Its racks and their machines stand at the other site: make a new building."}
            )


class CircuitRows(models.QuerySet["Circuit"]):
    def for_user(self, user: User) -> Self:
        """Circuits of the sites that a member of staff reaches; customers see none."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class Circuit(models.Model):
    """A feed with a breaker; what it may carry all day is `continuous_percent` of its capacity."""

    id = models.AutoField(primary_key=True)
    site = models.ForeignKey(Site, models.PROTECT, related_name="circuits", db_index=False)
    name = models.TextField(help_text="As it says on the panel.")
    capacity_kw = models.DecimalField(
        "capacity (kW)", max_digits=10, decimal_places=3, validators=[MinValueValidator(Decimal("0.001"))]
    )
    continuous_percent = models.PositiveSmallIntegerField(
        "continuous load (%)",
        default=80,
        db_default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Share of the capacity that it may carry for hours: 80 by the usual rule.",
    )

    objects = CircuitRows.as_manager()

    class Meta:
        db_table = "hosting_circuits"
        ordering = ["site__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="hosting_circuits_name"),
            models.CheckConstraint(
                condition=Q(capacity_kw__gt=0) & Q(continuous_percent__range=(1, 100)), name="hosting_circuits_capacity"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def continuous_kw(self) -> Decimal:
        """kW that the circuit may carry all day."""
        return self.capacity_kw * self.continuous_percent / 100

    def clean(self) -> None:
        before = Circuit.objects.filter(pk=self.pk).values_list("site_id", flat=True).first()
        if before is not None and before != self.site_id and self.racks.exists():
            raise ValidationError({"site": "It feeds racks of the other site: take it off them first."})


class RackRows(models.QuerySet["Rack"]):
    def for_user(self, user: User) -> Self:
        """Racks of the sites that a member of staff reaches; customers see none."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(building__site__in=user.site_ids)


class Rack(models.Model):
    """Slots are numbered from 1, row by row from the upper left."""

    id = models.AutoField(primary_key=True)
    building = models.ForeignKey(Building, models.PROTECT, related_name="racks", db_index=False)
    name = models.TextField()
    slots = models.PositiveSmallIntegerField(
        default=24, db_default=24, validators=[MinValueValidator(1), MaxValueValidator(MAX_SLOTS)]
    )
    slots_per_shelf = models.PositiveSmallIntegerField(
        default=4,
        db_default=4,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="How many stand side by side; the rack map draws them so.",
    )
    circuits = models.ManyToManyField(
        Circuit,
        db_table="hosting_rack_circuits",
        related_name="racks",
        blank=True,
        help_text="Feeds of the same site; several share the load evenly.",
    )

    objects = RackRows.as_manager()

    class Meta:
        db_table = "hosting_racks"
        ordering = ["building__site__name", "building__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["building", "name"], name="hosting_racks_name"),
            models.CheckConstraint(
                condition=Q(slots__range=(1, MAX_SLOTS)) & Q(slots_per_shelf__range=(1, 50)), name="hosting_racks_slots"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.building.name} / {self.name}"

    def clean(self) -> None:
        if self._state.adding or not self.building_id:
            return
        if (highest := self.miners.aggregate(slot=models.Max("slot"))["slot"]) and highest > self.slots:
            raise ValidationError({"slots": f"A machine stands in slot {highest}: move it first."})
        if self.miners.exclude(site=self.building.site_id).exists():
            raise ValidationError({"building": "Its machines stand at another site: move them first."})
        if self.circuits.exclude(site=self.building.site_id).exists():
            raise ValidationError({"building": "Circuits of another site feed it: take them off first."})
