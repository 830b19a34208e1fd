"""What tests of the outbox share: handlers that live as long as a test, and events of the catalogue's plainest type."""

import pytest
from django.db import transaction

from events import handlers
from events.outbox import publish


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
