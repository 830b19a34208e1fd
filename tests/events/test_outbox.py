import pytest
from django.db import transaction

from events.models import OutboxEvent
from events.outbox import Fact, OutsideTransaction, publish, publish_many

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(OutsideTransaction, match=r"transaction.atomic"):
        publish("miner.offline", about="miner:1", miner_id=1)
    assert not OutboxEvent.objects.exists()


def test_an_event_lives_and_dies_with_its_transaction():
    with transaction.atomic():
        publish("miner.offline", about="miner:1", miner_id=1)
    with transaction.atomic():
        publish("miner.offline", about="miner:1", miner_id=2)
        transaction.set_rollback(True)
    assert list(OutboxEvent.objects.values_list("event_type", "payload", "status")) == [
        ("miner.offline", {"miner_id": 1}, "pending")
    ]


def test_events_of_one_thing_are_numbered_whatever_the_batch():
    with transaction.atomic():
        publish_many("miner.offline", [Fact("miner:1", {"n": 1}), Fact("miner:2", {"n": 1}), Fact("miner:1", {"n": 2})])
        publish("miner.online", about="miner:1", n=3)
    rows = OutboxEvent.objects.order_by("id").values_list("aggregate_key", "aggregate_seq", "payload__n")
    assert list(rows) == [("miner:1", 1, 1), ("miner:2", 1, 1), ("miner:1", 2, 2), ("miner:1", 3, 3)]
