"""What tests of events share: handlers for the length of a test, plain events, endpoints and their deliveries."""

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from events import handlers
from events.catalogue import CATALOGUE
from events.models import EventDelivery
from events.outbox import publish
from events.sinks import endpoints


@pytest.fixture
def consumer():
    """Register a handler for the length of a test."""
    names = []

    def register(name, function, *, pattern="webhook.test", batched=False):
        door = handlers.batch_handler if batched else handlers.handler
        door(pattern, consumer=name)(function)
        names.append(name)

    yield register
    for name in names:
        handlers.unregister(name)


@pytest.fixture
def say(db):
    """Publish a `webhook.test` in a transaction of its own."""

    def publish_one(message, about="miner:1", **more):
        with transaction.atomic():
            return publish("webhook.test", about=about, message=message, **more)

    return publish_one


@pytest.fixture
def api():
    """A signed-in person's door to the API; None is somebody who has not signed in."""

    def open_door(user) -> APIClient:
        door = APIClient()
        if user is not None:
            door.force_login(user)
        return door

    return open_door


@pytest.fixture
def make_endpoint(db):
    """Register a webhook of this person's; returns the endpoint with its secret as `told`."""

    def make(user, host="hooks.example.com", **fields):
        endpoint, secret = endpoints.create_endpoint(
            user.pk,
            fields.pop("kind", "webhook"),
            f"https://{host}/in",
            fields.pop("event_types", []),
            fields.pop("description", ""),
            by=user.pk,
        )
        if fields:
            type(endpoint).objects.filter(pk=endpoint.pk).update(**fields)
            endpoint.refresh_from_db()
        endpoint.told = secret
        return endpoint

    return make


@pytest.fixture
def endpoint_a(make_endpoint, client_a):
    return make_endpoint(client_a, "a.example.com", description="Tickets of A")


@pytest.fixture
def endpoint_b(make_endpoint, client_b):
    return make_endpoint(client_b, "b.example.com", description="Tickets of B")


@pytest.fixture
def make_delivery(db):
    """One event of a machine on its way to an endpoint, as far as `fields` say."""

    def make(endpoint, event_type="miner.offline", miner_id=1, **fields):
        facts = CATALOGUE[event_type].example | {"miner_id": miner_id, "serial_number": f"M-{miner_id}"}
        with transaction.atomic():
            event = publish(event_type, about=f"miner:{miner_id}", client_id=endpoint.owner_id, **facts)
            return EventDelivery.objects.create(
                endpoint=endpoint, event=event, aggregate_key=event.aggregate_key, **fields
            )

    return make
