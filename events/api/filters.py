import django_filters

from events.models import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint, OutboxStatus
from minefarm.lib.parameters import RowIdFilter


class EndpointFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=EndpointKind.choices, label="Exactly this kind.")
    status = django_filters.ChoiceFilter(choices=EndpointStatus.choices, label="Exactly this status.")
    owner = django_filters.UUIDFilter(field_name="owner_id", label="Id of the owner; a client's are their own anyway.")

    class Meta:
        model = EventEndpoint
        fields: list[str] = []


class DeliveryFilter(django_filters.FilterSet):
    endpoint = RowIdFilter(field_name="endpoint_id", label="Id of the endpoint.")
    status = django_filters.ChoiceFilter(choices=OutboxStatus.choices, label="Exactly this status.")
    event_type = django_filters.CharFilter(field_name="event__event_type", label="Exactly this type.")

    class Meta:
        model = EventDelivery
        fields: list[str] = []
