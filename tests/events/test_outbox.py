import threading
import time

import pytest
from django.db import connection, transaction

from events.catalogue import CATALOGUE, UnfitEvent, reference
from events.models import OutboxAggregate, OutboxEvent
from events.outbox import Fact, OutsideTransaction, publish, publish_many
from tests.farm import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(OutsideTransaction, match=r"transaction.atomic"):
        publish("webhook.test", about="miner:1", message="hello")
    assert not OutboxEvent.objects.exists()


def test_an_event_lives_and_dies_with_its_transaction(say):
    say("stays")
    with transaction.atomic():
        publish("webhook.test", about="miner:1", message="goes")
        transaction.set_rollback(True)
    assert list(OutboxEvent.objects.values_list("event_type", "payload", "status")) == [
        ("webhook.test", {"message": "stays"}, "pending")
    ]


def test_events_of_one_thing_are_numbered_whatever_the_batch(say):
    with transaction.atomic():
        publish_many("webhook.test", [Fact(key, {"message": key}) for key in ("miner:1", "miner:2", "miner:1")])
    say("3")
    rows = OutboxEvent.objects.order_by("id").values_list("aggregate_key", "aggregate_seq")
    assert list(rows) == [("miner:1", 1), ("miner:2", 1), ("miner:1", 2), ("miner:1", 3)]


def test_concurrent_publishers_of_the_same_things_wait_for_no_circle():
    keys = [f"miner:{number}" for number in range(40)]
    failures = []

    def work(order):
        try:
            for _ in range(10):
                with transaction.atomic():
                    publish_many("webhook.test", [Fact(key, {"message": "x"}) for key in order])
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(order,)) for order in (keys, keys[::-1], keys[20:] + keys[:20])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for key in keys:
        rows = OutboxEvent.objects.filter(aggregate_key=key).order_by("id").values_list("aggregate_seq", flat=True)
        assert list(rows) == list(range(1, 31))


def test_a_dedupe_key_is_written_once_and_takes_no_number(say):
    first = say("once", dedupe_key="plan:7:done")
    assert say("again", dedupe_key="plan:7:done") is None
    assert say("elsewhere", about="miner:2", dedupe_key="plan:7:done") is None
    assert say("after").aggregate_seq == first.aggregate_seq + 1
    with transaction.atomic():
        twins = [Fact("miner:3", {"message": text}, dedupe_key="twin") for text in ("a", "b")]
        assert [event.aggregate_seq for event in publish_many("webhook.test", twins)] == [1]
    assert OutboxAggregate.objects.get(aggregate_key="miner:3").last_seq == 1


def test_two_that_publish_a_dedupe_key_at_once_write_it_once():
    waiting = threading.Event()
    stored = []

    def second():
        try:
            waiting.wait()
            with transaction.atomic():
                stored.append(publish("webhook.test", about="miner:1", message="b", dedupe_key="k"))
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        stored.append(publish("webhook.test", about="miner:1", message="a", dedupe_key="k"))
        waiting.set()
        time.sleep(0.3)
    thread.join()
    assert [event is None for event in stored] == [False, True]
    assert list(OutboxEvent.objects.values_list("aggregate_seq", "payload__message")) == [(1, "a")]


@pytest.mark.parametrize(
    ("event_type", "payload", "told"),
    [
        ("miner.exploded", {}, "not in the catalogue"),
        ("webhook.test", {}, "'message' is a required property"),
        ("webhook.test", {"message": 1}, "1 is not of type 'string'"),
        ("webhook.test", {"message": "x", "more": 1}, "'more' was unexpected"),
        ("webhook.disabled", {"endpoint_id": 1, "owner_id": "x", "reason": ""}, "is not a 'uuid'"),
        ("miner.online", {**CATALOGUE["miner.online"].example, "at": "2026-11-23T04:00"}, "is not a 'date-time'"),
        ("webhook.test", {"message": "x" * 20_000}, "publish ids"),
    ],
)
def test_what_does_not_fit_the_catalogue_is_refused(event_type, payload, told):
    with pytest.raises(UnfitEvent, match=told), transaction.atomic():
        publish(event_type, about="miner:1", **payload)
    assert not OutboxEvent.objects.exists()


def test_production_keeps_an_unfit_event_and_says_so(settings, caplog):
    settings.PRODUCTION = True
    with transaction.atomic():
        publish("miner.exploded", about="miner:1", parts=3)
    assert OutboxEvent.objects.get().payload == {"parts": 3}
    assert "miner.exploded does not fit events/catalogue.py" in caplog.text


@pytest.mark.parametrize("event", CATALOGUE.values(), ids=lambda event: event.name)
def test_every_example_fits_its_own_schema(event):
    assert event.problem(event.example) is None
    assert event.problem({**event.example, "surplus": 1}) is not None
    assert all(schema.get("description") for schema in event.fields.values())


def test_the_reference_lists_every_event_as_the_catalogue_has_it():
    text = (ROOT / "docs" / "reference" / "events.md").read_text()
    assert text == reference(), "Run `python tools/events_reference.py` and commit docs/reference/events.md."
    for name, event in CATALOGUE.items():
        assert f"## `{name}`, version {event.version}\n" in text


def test_a_site_that_loses_power_is_published_within_seconds():
    facts = [Fact(f"miner:{n}", CATALOGUE["miner.offline"].example | {"miner_id": n}) for n in range(6000)]
    started = time.monotonic()
    with transaction.atomic():
        assert len(publish_many("miner.offline", facts)) == 6000
    assert time.monotonic() - started < 8  # 1.2 s when quiet
