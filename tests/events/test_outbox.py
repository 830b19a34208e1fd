import pytest
from django.db import transaction

from events.models import OutboxEvent
from events.outbox import OutsideTransaction, publish

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(OutsideTransaction, match=r"transaction.atomic"):
        publish("miner.offline", miner_id=1)
    assert not OutboxEvent.objects.exists()


def test_an_event_lives_and_dies_with_its_transaction():
    with transaction.atomic():
        publish("miner.offline", miner_id=1)
    with transaction.atomic():
        publish("miner.offline", miner_id=2)
        transaction.set_rollback(True)
    assert list(OutboxEvent.objects.values_list("event_type", "payload", "status")) == [
        ("miner.offline", {"miner_id": 1}, "pending")
    ]
