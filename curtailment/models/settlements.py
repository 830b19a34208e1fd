"""What a plan came to: written once when its machines are back and their readings are in, and never changed."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from accounts.roles import Role
from curtailment.models.plans import CurtailmentPlan
from hosting.models import Miner


class SettlementRows(models.QuerySet["Settlement"]):
    def for_user(self, user: User) -> Self:
        """Staff: those of the sites that they reach. A client: settlements in which they have machines. Nobody else any."""
        if user.role == Role.CLIENT:
            return self.filter(pk__in=SettlementClient.objects.filter(client=user).values("settlement"))
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(plan__site__in=user.site_ids)


class Settlement(models.Model):
    """One plan, settled. Watts are means over the time that was asked for; NULL means that nothing was measured.

    `saved` is money per currency, as text, so that no digit is lost. Totals are the sums of the customers' rows.
    """

    id = models.AutoField(primary_key=True)
    plan = models.OneToOneField(CurtailmentPlan, models.PROTECT, related_name="settlement")
    starts_at = models.DateTimeField(help_text="From when power was asked for.")
    ends_at = models.DateTimeField(help_text="Until when: the plan's end, or when it was called off.")
    requested_w = models.DecimalField("requested (W)", max_digits=14, decimal_places=2)
    delivered_w = models.DecimalField("delivered, mean (W)", max_digits=14, decimal_places=2, null=True)
    seconds_to_50 = models.IntegerField("s to 50 %", null=True, help_text="NULL: never reached.")
    seconds_to_95 = models.IntegerField("s to 95 %", null=True)
    seconds_to_100 = models.IntegerField("s to 100 %", null=True)
    machines = models.IntegerField(help_text="In the plan, reserves that were not needed left out.")
    confirmed = models.IntegerField(help_text="Measured to be off.")
    drifted = models.IntegerField(help_text="Of those, came back by themselves at least once.")
    failed = models.IntegerField(help_text="Ordered to stop and never measured to be off.")
    kwh_avoided = models.DecimalField("kWh avoided", max_digits=16, decimal_places=6, null=True)
    unpriced_kwh = models.DecimalField("kWh without a price", max_digits=16, decimal_places=6)
    saved = models.JSONField(default=dict, db_default={}, help_text="Money by currency.")
    forgone_usd = models.DecimalField("revenue forgone, USD", max_digits=16, decimal_places=6, null=True)
    coverage = models.DecimalField(max_digits=7, decimal_places=6, help_text="Share of the time off that was measured.")
    baseline_method = models.TextField()
    content_hash = models.TextField(help_text="SHA-256 of the settlement and all its rows.")
    created_at = models.DateTimeField(db_default=Now())

    objects = SettlementRows.as_manager()

    class Meta:
        db_table = "curtailment_settlements"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"settlement of plan {self.plan_id}"


class SettlementInterval(models.Model):
    """Five minutes of a settlement, all customers together."""

    pk = models.CompositePrimaryKey("settlement_id", "starts_at")
    settlement = models.ForeignKey(Settlement, models.PROTECT, related_name="intervals", db_index=False)
    starts_at = models.DateTimeField()
    requested_kw = models.DecimalField(max_digits=14, decimal_places=6)
    delivered_kw = models.DecimalField(max_digits=14, decimal_places=6, null=True, help_text="NULL: nothing was read.")
    coverage = models.DecimalField(max_digits=7, decimal_places=6)

    class Meta:
        db_table = "curtailment_settlement_intervals"
        ordering = ["starts_at"]

    def __str__(self) -> str:
        return f"settlement {self.settlement_id} at {self.starts_at:%Y-%m-%d %H:%M}"


class SettlementPartRows(models.QuerySet["SettlementClient"]):
    def for_user(self, user: User) -> Self:
        """Rows of settlements that staff reach; a client's own."""
        if user.role == Role.CLIENT:
            return self.filter(client=user)
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(settlement__plan__site__in=user.site_ids)


class Part(models.Model):
    """Energy and money of some machines in one currency."""

    client = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="NULL: nobody's.",
    )
    currency = models.TextField()
    kwh_avoided = models.DecimalField("kWh avoided", max_digits=16, decimal_places=6, null=True)
    saved = models.DecimalField(max_digits=16, decimal_places=6, null=True, help_text="NULL: no price was known.")
    unpriced_kwh = models.DecimalField("kWh without a price", max_digits=16, decimal_places=6)
    forgone_usd = models.DecimalField("revenue forgone, USD", max_digits=16, decimal_places=6, null=True)
    coverage = models.DecimalField(max_digits=7, decimal_places=6, help_text="Share of the time off that was measured.")

    objects = SettlementPartRows.as_manager()

    class Meta:
        abstract = True


class SettlementClient(Part):
    """One customer's machines in one currency: the sum of their rows in SettlementMiner, to the last digit."""

    id = models.BigAutoField(primary_key=True)
    settlement = models.ForeignKey(Settlement, models.PROTECT, related_name="clients", db_index=False)
    machines = models.IntegerField()
    minutes = models.DecimalField("machine minutes off", max_digits=14, decimal_places=2)

    class Meta(Part.Meta):
        db_table = "curtailment_settlement_clients"
        ordering = ["settlement", "id"]
        indexes = [models.Index(fields=["client"], name="idx_settlement_clients_client")]
        constraints = [
            models.UniqueConstraint(
                fields=["settlement", "client", "currency"],
                name="curtailment_settlement_client_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"client {self.client_id} in settlement {self.settlement_id}"


class SettlementMiner(Part):
    """One machine's stretch off; cut where another plan has counted it, and where the currency changes."""

    id = models.BigAutoField(primary_key=True)
    settlement = models.ForeignKey(Settlement, models.PROTECT, related_name="miners", db_index=False)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="+", db_index=False)
    off_from = models.DateTimeField()
    off_until = models.DateTimeField()
    baseline_w = models.DecimalField("baseline (W)", max_digits=10, decimal_places=2)

    class Meta(Part.Meta):
        db_table = "curtailment_settlement_miners"
        ordering = ["settlement", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["settlement", "miner", "off_from"], name="curtailment_settlement_miner_once"
            ),
            models.CheckConstraint(
                condition=models.Q(off_until__gt=models.F("off_from")), name="curtailment_settlement_miner_lasts"
            ),
        ]

    def __str__(self) -> str:
        return f"miner {self.miner_id} in settlement {self.settlement_id}"
