"""What the API takes, checked field by field, and what it sends, described for the schema.

Taking and sending are apart: a field that is not in a `...WriteSerializer` cannot be set, whatever is posted.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models, transaction
from rest_framework import serializers

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from hosting.models import Miner, MinerModel, Site
from hosting.states import MinerStatus

TEXT_LENGTH = 200
ROW_ID = serializers.IntegerField(min_value=1, max_value=2**31 - 1)

# --- what is sent: rows.py makes it, these describe it ------------------------------------------------------------------


class SiteSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    location = serializers.CharField(allow_null=True)
    capacity_mw = serializers.FloatField(allow_null=True, required=False, help_text="MW; staff only.")
    total_miners = serializers.IntegerField(required=False, help_text="Counted after every sweep; staff only.")
    active_miners = serializers.IntegerField(required=False, help_text="Counted after every sweep; staff only.")
    created_at = serializers.DateTimeField(required=False, help_text="Staff only.")


class MinerModelSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    manufacturer = serializers.CharField(allow_null=True)
    hashrate_ths = serializers.FloatField(allow_null=True, help_text="TH/s by the data sheet.")
    power_w = serializers.FloatField(allow_null=True, help_text="W by the data sheet.")
    efficiency_j_th = serializers.FloatField(allow_null=True, help_text="J/TH.")
    release_date = serializers.DateField(allow_null=True)
    msrp_usd = serializers.FloatField(allow_null=True, help_text="List price, USD.")


class MinersModelSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    manufacturer = serializers.CharField(allow_null=True)


class MinersSiteSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class MinersClientSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.UUIDField()
    email = serializers.EmailField()


class LatestSerializer(serializers.Serializer[dict[str, Any]]):
    """The last good reading, taken at `seen_at`; `error` says why the last attempt gave none, null when it did."""

    hashrate_ths = serializers.FloatField(allow_null=True, help_text="TH/s, shortest window that the machine reports.")
    hashrate_avg_ths = serializers.FloatField(allow_null=True, help_text="TH/s since the machine started.")
    power_w = serializers.FloatField(allow_null=True, help_text="Wall power, W.")
    power_estimated = serializers.BooleanField(help_text="The machine reports no power: computed from its hashrate.")
    temperature_c = serializers.FloatField(allow_null=True, help_text="Hottest chip, °C.")
    fan_rpm = serializers.ListField(child=serializers.IntegerField(), help_text="Each fan, RPM.")
    uptime_s = serializers.IntegerField(allow_null=True)
    accepted = serializers.IntegerField(allow_null=True, help_text="Shares accepted.")
    rejected = serializers.IntegerField(allow_null=True, help_text="Shares rejected.")
    hardware_errors = serializers.IntegerField(allow_null=True)
    seen_at = serializers.DateTimeField(allow_null=True, help_text="Minute of the last good reading.")
    error = serializers.CharField(allow_null=True)


class BoardSerializer(serializers.Serializer[dict[str, Any]]):
    """One hash board; what the machine does not tell is left out."""

    board = serializers.IntegerField(help_text="The machine's own number for it.")
    hashrate_ths = serializers.FloatField(required=False, help_text="TH/s; Avalon tells the session's average.")
    chips = serializers.IntegerField(required=False, help_text="Chips that answer.")
    chips_expected = serializers.IntegerField(required=False)
    temperature_c = serializers.FloatField(required=False, help_text="Hottest chip, °C.")
    board_temperature_c = serializers.FloatField(required=False, help_text="The board itself, °C.")
    hardware_errors = serializers.IntegerField(required=False)


class DetailsSerializer(serializers.Serializer[dict[str, Any]]):
    """What is read every fifth minute (the pool: every hour)."""

    read_at = serializers.DateTimeField()
    board_temperature_c = serializers.FloatField(allow_null=True, help_text="Hottest board, °C.")
    inlet_temperature_c = serializers.FloatField(allow_null=True, help_text="Air going in, °C.")
    error_codes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The maker's own codes."
    )
    pool_url = serializers.CharField(allow_null=True)
    pool_worker = serializers.CharField(allow_null=True)
    boards = BoardSerializer(many=True, allow_null=True)


class MinerSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    serial_number = serializers.CharField()
    status = serializers.ChoiceField(choices=MinerStatus.choices)
    purchase_date = serializers.DateField(allow_null=True)
    warranty_expiry = serializers.DateField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(allow_null=True)
    model = MinersModelSerializer(allow_null=True)
    site = MinersSiteSerializer(allow_null=True)
    latest = LatestSerializer(allow_null=True, help_text="Null until the first sweep.")
    details = DetailsSerializer(allow_null=True, required=False, help_text="Of one machine, not in lists.")
    client = MinersClientSerializer(allow_null=True, required=False, help_text="The owner; staff only.")
    cgminer_ip = serializers.CharField(allow_null=True, required=False, help_text="Staff only.")
    cgminer_port = serializers.IntegerField(required=False, help_text="Staff only.")
    cgminer_enabled = serializers.BooleanField(required=False, help_text="Read every minute; staff only.")


class TelemetrySerializer(serializers.Serializer[dict[str, Any]]):
    recorded_at = serializers.DateTimeField(help_text="The minute of the reading, or the start of the interval.")
    miner_id = serializers.IntegerField()
    hashrate_ths = serializers.FloatField(allow_null=True, help_text="TH/s; mean of the interval.")
    temperature_c = serializers.FloatField(allow_null=True, help_text="Hottest chip, °C; highest of the interval.")
    power_w = serializers.FloatField(allow_null=True, help_text="Wall power, W; mean of the interval.")
    power_estimated = serializers.BooleanField(help_text="Some of the power was computed from the hashrate.")
    fan_rpm = serializers.FloatField(allow_null=True, help_text="Mean of the fans, RPM.")
    samples = serializers.IntegerField(required=False, help_text="Readings in the interval; absent at 1m.")


class SiteTelemetrySerializer(serializers.Serializer[dict[str, Any]]):
    recorded_at = serializers.DateTimeField(help_text="Start of the interval.")
    hashrate_ths = serializers.FloatField(allow_null=True, help_text="All machines, TH/s; mean of the minutes read.")
    power_kw = serializers.FloatField(allow_null=True, help_text="All machines, kW; mean of the minutes read.")
    power_estimated = serializers.BooleanField(help_text="Some of the power was computed from the hashrate.")
    temperature_c = serializers.FloatField(allow_null=True, help_text="Hottest chip of the site, °C.")
    minutes = serializers.IntegerField(help_text="Minutes of the interval that were swept.")
    samples = serializers.IntegerField(help_text="Good readings in the interval.")


# --- what is taken ------------------------------------------------------------------------------------------------------


class WriteSerializer(serializers.Serializer[Any]):
    """Fields that may be set."""

    model: ClassVar[type[models.Model]]

    def create(self, validated_data: dict[str, Any]) -> models.Model:
        return self.write(self.model(), validated_data)

    def update(self, instance: models.Model, validated_data: dict[str, Any]) -> models.Model:
        return self.write(instance, validated_data)

    @transaction.atomic
    def write(self, row: models.Model, changes: Mapping[str, Any]) -> models.Model:
        """Save the changes, and what `clean()` makes of them. Raises ValidationError (400) that names the fields."""
        before = dict(row.__dict__)
        for name, value in changes.items():
            setattr(row, name, value)
        try:
            row.full_clean()
        except ModelValidationError as error:
            raise serializers.ValidationError(self._by_our_names(error)) from None
        if row._state.adding:  # noqa: SLF001  Django's documented mark of an unsaved row
            row.save(force_insert=True)
            return row
        # Only what changed: a sweep may move the machine's status at this moment, and the row in hand has the old one.
        changed = [
            field.name
            for field in row._meta.concrete_fields  # noqa: SLF001  Django's documented model API
            if before.get(field.attname) != getattr(row, field.attname) or field.name == "updated_at"
        ]
        row.save(update_fields=changed)
        return row

    def _by_our_names(self, error: ModelValidationError) -> dict[str, list[str]]:
        ours = {field.source: name for name, field in self.fields.items()} | {"__all__": "non_field_errors"}
        return {ours.get(name, name): messages for name, messages in error.message_dict.items()}


class SiteWriteSerializer(WriteSerializer):
    model = Site

    name = serializers.CharField(max_length=TEXT_LENGTH)
    location = serializers.CharField(max_length=TEXT_LENGTH, allow_null=True, required=False)
    capacity_mw = serializers.DecimalField(
        max_digits=12, decimal_places=6, min_value=0, allow_null=True, required=False, help_text="MW."
    )


class MinerModelWriteSerializer(WriteSerializer):
    model = MinerModel

    name = serializers.CharField(max_length=TEXT_LENGTH)
    manufacturer = serializers.CharField(max_length=TEXT_LENGTH, allow_null=True, required=False)
    hashrate_ths = serializers.DecimalField(
        source="hashrate", max_digits=10, decimal_places=2, min_value=0, allow_null=True, required=False
    )
    power_w = serializers.DecimalField(
        source="power_consumption", max_digits=10, decimal_places=2, min_value=0, allow_null=True, required=False
    )
    efficiency_j_th = serializers.DecimalField(
        source="efficiency",
        max_digits=10,
        decimal_places=4,
        min_value=0,
        allow_null=True,
        required=False,
        help_text="J/TH; computed from power and hashrate when left out.",
    )
    release_date = serializers.DateField(allow_null=True, required=False)
    msrp_usd = serializers.DecimalField(
        source="msrp", max_digits=10, decimal_places=2, min_value=0, allow_null=True, required=False
    )


class SiteWithinReach(serializers.PrimaryKeyRelatedField[Site]):
    """A site that the caller reaches; another one does not exist for them."""

    def get_queryset(self) -> Any:
        request = self.context.get("request")
        return Site.objects.for_user(actor(request)) if request else super().get_queryset()


class MinerWriteSerializer(WriteSerializer):
    model = Miner

    serial_number = serializers.CharField(max_length=TEXT_LENGTH)
    model_id = serializers.PrimaryKeyRelatedField(
        source="miner_model", queryset=MinerModel.objects.all(), pk_field=ROW_ID, allow_null=True, required=False
    )
    site_id = SiteWithinReach(
        source="site", queryset=Site.objects.all(), pk_field=ROW_ID, allow_null=True, required=False
    )
    client_id = serializers.PrimaryKeyRelatedField(
        source="client",
        queryset=User.objects.filter(role=Role.CLIENT),
        pk_field=serializers.UUIDField(),
        allow_null=True,
        required=False,
        help_text="The customer who owns the machine.",
    )
    cgminer_ip = serializers.IPAddressField(allow_null=True, required=False, help_text="An address, not a host name.")
    cgminer_port = serializers.IntegerField(min_value=1, max_value=65535, required=False)
    cgminer_enabled = serializers.BooleanField(required=False, help_text="Read the machine every minute.")
    purchase_date = serializers.DateField(allow_null=True, required=False)
    warranty_expiry = serializers.DateField(allow_null=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Somebody limited to sites cannot leave a machine where they would not see it."""
        site = attrs.get("site", self.instance.site if self.instance else None)
        if site is None and actor(self.context["request"]).site_ids is not None:
            raise serializers.ValidationError({"site_id": "Name one of your sites."})
        return attrs
