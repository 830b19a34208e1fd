"""What the API takes about endpoints, checked field by field, and what it sends of them, described for the schema."""

from typing import Any

from rest_framework import serializers

from events.models import EndpointKind, EndpointStatus, OutboxStatus
from events.registration import DESCRIPTION_LENGTH

TARGET_LENGTH = 2000
MOST_TYPES = 100

# --- what is sent -------------------------------------------------------------------------------------------------------


class EndpointSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=EndpointKind.choices)
    target = serializers.CharField(help_text="URL, e-mail address or name of the stream.")
    description = serializers.CharField()
    event_types = serializers.ListField(child=serializers.CharField(), help_text="Empty: every event.")
    status = serializers.ChoiceField(choices=EndpointStatus.choices)
    status_reason = serializers.CharField(help_text="Why it was disabled; else empty.")
    failures = serializers.IntegerField(help_text="Failed attempts since the last success.")
    failing_since = serializers.DateTimeField(allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True)
    previous_secret_until = serializers.DateTimeField(
        allow_null=True,
        help_text="Until then messages carry a second signature, by the secret before the last rotation.",
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    owner_id = serializers.UUIDField(required=False, help_text="Staff only.")


class NewEndpointSerializer(EndpointSerializer):
    secret = serializers.CharField(help_text="Shown here and never again: keep it to verify signatures.")


class SecretSerializer(serializers.Serializer[dict[str, Any]]):
    secret = serializers.CharField(help_text="Shown here and never again.")
    previous_secret_until = serializers.DateTimeField(help_text="Until then both secrets sign.")


class DeliverySerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    endpoint_id = serializers.IntegerField()
    event_uuid = serializers.UUIDField(help_text="The message's `webhook-id`.")
    event_type = serializers.CharField()
    status = serializers.ChoiceField(choices=OutboxStatus.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="Null unless it waits for another attempt.")
    response_status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the last answer.")
    response_excerpt = serializers.CharField(allow_null=True, help_text="Start of the last answer.")
    error = serializers.CharField(allow_null=True, help_text="What went wrong in the last attempt.")
    duration_ms = serializers.IntegerField(allow_null=True, help_text="Of the last attempt.")
    created_at = serializers.DateTimeField()
    processed_at = serializers.DateTimeField(allow_null=True)


# --- what is taken ------------------------------------------------------------------------------------------------------


class _EventTypes(serializers.ListField):
    child = serializers.CharField(max_length=100)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MOST_TYPES, help_text="Events to hear of; empty: every event.", **kwargs)


class EndpointCreateSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=EndpointKind.choices, default=EndpointKind.WEBHOOK)
    target = serializers.CharField(max_length=TARGET_LENGTH, help_text="URL, e-mail address or name of the stream.")
    description = serializers.CharField(max_length=DESCRIPTION_LENGTH, allow_blank=True, default="")
    event_types = _EventTypes(default=list)


class EndpointChangeSerializer(serializers.Serializer[Any]):
    """A target cannot be changed: another address is another endpoint, with a secret of its own."""

    description = serializers.CharField(max_length=DESCRIPTION_LENGTH, allow_blank=True, required=False)
    event_types = _EventTypes(required=False)
    status = serializers.ChoiceField(
        choices=[EndpointStatus.ENABLED, EndpointStatus.PAUSED],
        required=False,
        help_text="`enabled` also takes an endpoint up again that was disabled.",
    )
