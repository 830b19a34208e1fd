"""What the API takes and sends of curtailment plans; rows.py makes it, these describe it."""

from typing import Any

from rest_framework import serializers

from curtailment.overrides import LONGEST_FREEZE_MIN
from curtailment.states import PlanStatus, PlanType, Priority, RecoveryState, Strategy, TargetRole, TargetState
from minefarm.lib.parameters import MAX_ROW_ID

MAX_MINERS = 20_000
TEXT = 500
STAFF_ONLY = "Staff only."


class PlanSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    site_id = serializers.IntegerField()
    plan_type = serializers.ChoiceField(choices=PlanType.choices)
    priority = serializers.ChoiceField(choices=Priority.choices)
    status = serializers.ChoiceField(choices=PlanStatus.choices, help_text="The way down.")
    recovery_state = serializers.ChoiceField(choices=RecoveryState.choices, help_text="The way back.")
    reason = serializers.CharField()
    scheduled_time = serializers.DateTimeField(help_text="When the machines stop.")
    recovery_time = serializers.DateTimeField(help_text="When they come back.")
    executed_at = serializers.DateTimeField(allow_null=True)
    recovering_at = serializers.DateTimeField(allow_null=True)
    recovered_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    strategy = serializers.ChoiceField(choices=Strategy.choices, required=False, help_text=STAFF_ONLY)
    target_mw = serializers.FloatField(allow_null=True, required=False, help_text=STAFF_ONLY)
    machines = serializers.IntegerField(required=False, help_text=STAFF_ONLY)
    planned_mw = serializers.FloatField(required=False, help_text=f"Sum of the baselines. {STAFF_ONLY}")
    measured_mw = serializers.FloatField(allow_null=True, required=False, help_text=STAFF_ONLY)
    shortfall_mw = serializers.FloatField(allow_null=True, required=False, help_text=STAFF_ONLY)
    version = serializers.IntegerField(required=False, help_text=f"Give it back to edit or approve. {STAFF_ONLY}")
    content_hash = serializers.CharField(required=False, help_text=f"Give it back to approve. {STAFF_ONLY}")
    restore_requested_at = serializers.DateTimeField(allow_null=True, required=False, help_text=STAFF_ONLY)
    restore_reason = serializers.CharField(allow_null=True, required=False, help_text=STAFF_ONLY)
    cancel_reason = serializers.CharField(allow_null=True, required=False, help_text=STAFF_ONLY)
    created_by = serializers.EmailField(
        allow_null=True, required=False, help_text=f"Null: a rule or the command line. {STAFF_ONLY}"
    )
    edited_by = serializers.EmailField(allow_null=True, required=False, help_text=STAFF_ONLY)


class PreviewSerializer(serializers.Serializer[dict[str, Any]]):
    site_id = serializers.IntegerField()
    scheduled_time = serializers.DateTimeField()
    recovery_time = serializers.DateTimeField()
    machines = serializers.ListField(child=serializers.IntegerField(), help_text="Ids, in the order of stopping.")
    planned_mw = serializers.FloatField()
    preview = serializers.DictField(help_text="Totals, money, warnings, and what is left out and why.")


class TargetSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    miner_id = serializers.IntegerField()
    serial_number = serializers.CharField(allow_null=True, help_text="Null: it is not yours any more.")
    role = serializers.ChoiceField(choices=TargetRole.choices)
    state = serializers.ChoiceField(choices=TargetState.choices)
    baseline_w = serializers.FloatField(help_text="W before the plan.")
    observed_w = serializers.FloatField(allow_null=True, help_text="W as measured while it is off.")
    hashrate_ths = serializers.FloatField(allow_null=True)
    dispatched_at = serializers.DateTimeField(allow_null=True, help_text="First order to sleep.")
    confirmed_at = serializers.DateTimeField(allow_null=True, help_text="When it was measured to be off.")
    restoring_at = serializers.DateTimeField(allow_null=True, help_text="First order to wake.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="On again as measured, or released.")
    shutdown_order = serializers.IntegerField(required=False, help_text=STAFF_ONLY)
    prior_on = serializers.BooleanField(allow_null=True, required=False, help_text=f"It ran before. {STAFF_ONLY}")
    drifts = serializers.IntegerField(required=False, help_text=STAFF_ONLY)
    attempts = serializers.IntegerField(required=False, help_text=STAFF_ONLY)
    release_requested_at = serializers.DateTimeField(allow_null=True, required=False, help_text=STAFF_ONLY)
    last_error = serializers.CharField(required=False, allow_blank=True, help_text=STAFF_ONLY)


# --- what is asked for --------------------------------------------------------------------------------------------------


class AskSerializer(serializers.Serializer[Any]):
    site_id = serializers.IntegerField(min_value=1, max_value=MAX_ROW_ID)
    scheduled_time = serializers.DateTimeField()
    recovery_time = serializers.DateTimeField()
    target_mw = serializers.DecimalField(
        max_digits=12, decimal_places=6, required=False, allow_null=True, help_text="Without it: all that are named."
    )
    strategy = serializers.ChoiceField(choices=Strategy.choices, default=Strategy.LEAST_EFFICIENT)
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.NORMAL)
    reason = serializers.CharField(max_length=TEXT)
    miners = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ROW_ID),
        max_length=MAX_MINERS,
        required=False,
        allow_null=True,
        help_text="Choose among these ids alone.",
    )


class EditSerializer(AskSerializer):
    """Any of it, and the version that was seen; the site stays."""

    site_id = None  # type: ignore[assignment]  # DRF's way to leave an inherited field out
    version = serializers.IntegerField(min_value=1, help_text="The version that you saw.")
    strategy = serializers.ChoiceField(choices=Strategy.choices, required=False)
    priority = serializers.ChoiceField(choices=Priority.choices, required=False)
    scheduled_time = serializers.DateTimeField(required=False)
    recovery_time = serializers.DateTimeField(required=False)
    reason = serializers.CharField(max_length=TEXT, required=False)


class ApproveSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, help_text="The version that you saw.")
    content_hash = serializers.CharField(max_length=64, help_text="The hash that you saw.")
    reason = serializers.CharField(max_length=TEXT, required=False, default="", allow_blank=True)
    break_glass = serializers.BooleanField(
        default=False, help_text="An emergency of at most an hour: alone, with a reason; everybody is told."
    )


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=TEXT, help_text="Why, for the trail.")


class CancelSerializer(ReasonSerializer):
    version = serializers.IntegerField(
        min_value=1, required=False, help_text="The version that you saw: 409 when the plan was edited since."
    )


class ExtendSerializer(ReasonSerializer):
    until = serializers.DateTimeField(help_text="The new end.")


class FreezeSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=TEXT, required=False, default="", allow_blank=True)
    minutes = serializers.IntegerField(min_value=0, max_value=LONGEST_FREEZE_MIN, default=60, help_text="0 ends it.")


class FrozenSerializer(serializers.Serializer[Any]):
    site_id = serializers.IntegerField()
    frozen_until = serializers.DateTimeField(allow_null=True)


class RestoredSerializer(serializers.Serializer[Any]):
    restoring = serializers.ListField(child=serializers.IntegerField(), help_text="Plans whose machines come back.")
    cancelled = serializers.ListField(child=serializers.IntegerField(), help_text="Plans that do not begin.")
