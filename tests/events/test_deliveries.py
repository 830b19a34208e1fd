"""From the outbox to those who asked: who hears of what, in what order, and what a dead receiver costs the others."""

import time
from datetime import timedelta

import pytest
from django.core import mail as outgoing
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from redis import Redis
from standardwebhooks import Webhook

from events.catalogue import CATALOGUE
from events.dispatch import dispatch_once, drain
from events.models import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint, OutboxEvent
from events.outbox import Fact, publish_many
from events.sinks import deliver
from events.sinks.endpoints import create_endpoint, disable, redeliver, rotate_secret, send_test
from events.sinks.stream import PREFIX
from minefarm.lib.clock import database_now
from tests.events.receivers import allowed, receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hook(settings):
    """A receiver on loopback that the settings allow."""
    with receiver() as told:
        settings.WEBHOOK_ALLOWED_TARGETS = allowed(told)
        yield told


@pytest.fixture
def dead(settings, hook):
    """Another one, which answers 500."""
    with receiver(500) as told:
        settings.WEBHOOK_ALLOWED_TARGETS = allowed(hook, told)
        yield told


def registered(owner, told, *event_types, kind="webhook"):
    endpoint, secret = create_endpoint(owner.pk, kind, told.url, event_types, by=owner.pk)
    return endpoint, secret


def offline(*miners, client=None):
    with transaction.atomic():
        return publish_many(
            "miner.offline",
            [
                Fact(f"miner:{n}", CATALOGUE["miner.offline"].example | {"miner_id": n}, client and client.pk)
                for n in miners
            ],
        )


def states(endpoint) -> list[str]:
    return list(endpoint.deliveries.order_by("pk").values_list("status", flat=True))


def test_a_delivery_verifies_with_the_independent_library(operator, hook):
    endpoint, secret = registered(operator, hook)
    (event,) = offline(17)
    drain()
    ((headers, body),) = hook.got
    told = Webhook(secret).verify(body, headers)
    assert told["type"] == "miner.offline"
    assert told["data"]["miner_id"] == 17
    assert (told["aggregate"], told["sequence"], headers["webhook-id"]) == ("miner:17", 1, str(event.event_uuid))
    delivery = endpoint.deliveries.get()
    assert (delivery.status, delivery.response_status, delivery.response_excerpt) == ("processed", 200, "ok")
    assert delivery.duration_ms is not None


def test_during_a_rotation_old_and_new_secret_verify_and_afterwards_the_new_one_alone(operator, hook):
    endpoint, old = registered(operator, hook)
    new = rotate_secret(endpoint, by=operator.pk)
    offline(1)
    drain()
    headers, body = hook.got[-1]
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers)
    EventEndpoint.objects.update(previous_secret_until=database_now() - timedelta(seconds=1))
    offline(1)
    drain()
    headers, body = hook.got[-1]
    assert Webhook(new).verify(body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(old).verify(body, headers)


def test_a_client_hears_of_their_own_and_staff_of_all(client_a, client_b, guest, operator, hook):
    ends = {person: registered(person, hook)[0] for person in (client_a, client_b, guest, operator)}
    offline(1, client=client_a)
    offline(2)
    drain()
    heard = {person: sorted(end.deliveries.values_list("aggregate_key", flat=True)) for person, end in ends.items()}
    assert heard == {client_a: ["miner:1"], client_b: [], guest: [], operator: ["miner:1", "miner:2"]}


def test_somebody_who_is_disabled_hears_nothing(operator, hook):
    endpoint, _ = registered(operator, hook)
    operator.status = "DISABLED"
    operator.save()
    offline(1)
    drain()
    assert states(endpoint) == []


def test_only_the_types_that_were_asked_for(operator, hook):
    endpoint, _ = registered(operator, hook, "miner.online")
    offline(1)
    drain()
    assert states(endpoint) == []
    EventEndpoint.objects.update(event_types=["miner.*"])
    offline(1)
    drain()
    assert states(endpoint) == ["processed"]


def test_fanning_out_again_changes_nothing(operator, hook):
    registered(operator, hook)
    offline(*range(20))
    drain()
    OutboxEvent.objects.update(status="pending", attempts=0, processed_at=None)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM event_inbox")
    drain()
    assert EventDelivery.objects.count() == len(hook.got) == 20


def test_events_of_one_thing_arrive_in_order_and_wait_for_the_first(operator, hook):
    endpoint, _ = registered(operator, hook)
    hook.status = 503
    offline(1)
    offline(1)
    offline(1)
    drain()
    assert [headers["webhook-id"] for headers, _ in hook.got] == [str(OutboxEvent.objects.earliest("pk").event_uuid)]
    hook.status = 200
    EventDelivery.objects.update(next_attempt_at=database_now())
    EventEndpoint.objects.update(held_until=None)
    drain()
    sent = [headers["webhook-id"] for headers, _ in hook.got]
    in_order = [str(uuid) for uuid in OutboxEvent.objects.order_by("pk").values_list("event_uuid", flat=True)]
    assert sent == [in_order[0], *in_order]
    assert states(endpoint) == ["processed"] * 3


def test_a_dead_receiver_costs_itself_alone(operator, client_a, hook, dead):
    lost, _ = registered(operator, dead)
    well, _ = registered(client_a, hook)
    offline(*range(1, 41), client=client_a)
    started = time.monotonic()
    drain()
    assert time.monotonic() - started < 5
    assert states(well) == ["processed"] * 40
    lost.refresh_from_db()
    assert lost.failing_since is not None
    assert lost.held_until > database_now()
    assert len(dead.got) < 12  # it is held after a few
    failed = lost.deliveries.exclude(last_error=None).first()
    assert (failed.status, failed.response_status, failed.attempts) == ("pending", 500, 1)
    assert "500" in failed.last_error


def test_out_of_a_hold_comes_one_probe(operator, dead):
    registered(operator, dead)
    offline(*range(1, 20))
    drain()
    EventEndpoint.objects.update(held_until=None)
    before = len(dead.got)
    assert deliver._round(EndpointKind.WEBHOOK) == 1
    assert len(dead.got) == before + 1


def test_after_its_last_attempt_a_delivery_fails_and_the_next_goes_on(operator, hook):
    endpoint, _ = registered(operator, hook)
    hook.status = 500
    offline(1)
    offline(1)
    drain()
    EventDelivery.objects.filter(attempts__gt=0).update(attempts=deliver.MAX_ATTEMPTS - 1)
    EventDelivery.objects.update(next_attempt_at=database_now())
    EventEndpoint.objects.update(held_until=None)
    drain()
    assert states(endpoint) == ["failed", "pending"]
    hook.status = 200
    EventDelivery.objects.update(next_attempt_at=database_now())
    EventEndpoint.objects.update(held_until=None)
    drain()
    assert states(endpoint) == ["failed", "processed"]
    redeliver(endpoint.deliveries.earliest("pk"), by=operator.pk)
    drain()
    assert states(endpoint) == ["processed", "processed"]


def test_gone_switches_the_endpoint_off_and_tells_its_owner(client_a, hook):
    endpoint, _ = registered(client_a, hook)
    hook.status = 410
    offline(1, client=client_a)
    offline(2, client=client_a)
    drain()
    endpoint.refresh_from_db()
    assert (endpoint.status, "410" in endpoint.status_reason) == (EndpointStatus.DISABLED, True)
    assert "pending" not in states(endpoint)
    assert [mail.to for mail in outgoing.outbox] == [[client_a.email]]
    assert OutboxEvent.objects.get(event_type="webhook.disabled").client_id == client_a.pk


def test_days_of_failure_switch_it_off(operator, hook, settings):
    endpoint, _ = registered(operator, hook)
    hook.status = 500
    offline(1)
    drain()
    EventEndpoint.objects.update(failing_since=database_now() - timedelta(days=5, minutes=1), held_until=None)
    EventDelivery.objects.update(next_attempt_at=database_now())
    drain()
    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.DISABLED
    assert "5 days" in endpoint.status_reason
    assert not disable(endpoint, reason="again")


def test_a_test_event_reaches_its_endpoint_alone(operator, hook):
    one, _ = registered(operator, hook)
    other, _ = registered(operator, hook)
    send_test(one, by=operator.pk)
    drain()
    assert (states(one), states(other)) == (["processed"], [])


def test_an_answer_that_comes_after_the_lease_is_not_written(operator, hook):
    endpoint, _ = registered(operator, hook)
    offline(1)
    hook.status = 500
    dispatch_once()
    mine = deliver.claim(EndpointKind.WEBHOOK)
    EventDelivery.objects.update(locked_until=database_now() - timedelta(seconds=1))
    theirs = deliver.claim(EndpointKind.WEBHOOK)
    assert len(mine.deliveries) == len(theirs.deliveries) == 1
    answer = deliver._post(mine.deliveries)[0]
    deliver.record(mine.holder, mine.deliveries[0], answer)
    assert endpoint.deliveries.get().response_status is None
    deliver.record(theirs.holder, theirs.deliveries[0], answer)
    assert endpoint.deliveries.get().response_status == 500


def test_mail_bundles_what_has_come_together_and_goes_to_the_owner(client_a):
    endpoint, _ = create_endpoint(client_a.pk, "email", "", [], by=client_a.pk)
    offline(1, client=client_a)
    offline(1, client=client_a)
    offline(2, client=client_a)
    drain()
    (mail,) = outgoing.outbox
    assert mail.to == [client_a.email]
    assert mail.subject == "MineFarm: 3 events"
    assert mail.body.count("miner.offline") == 3
    assert states(endpoint) == ["processed"] * 3
    offline(3, client=client_a)
    drain()
    assert len(outgoing.outbox) == 1  # the next one comes in five minutes


def test_mail_goes_to_nobody_else(client_a):
    with pytest.raises(ValidationError, match="your own address"):
        create_endpoint(client_a.pk, "email", "somebody@else.example", [], by=client_a.pk)


def test_a_stream_holds_the_events_in_order(operator, settings):
    name = f"test-{operator.pk}"
    endpoint, _ = create_endpoint(operator.pk, "stream", name, [], by=operator.pk)
    with Redis.from_url(settings.REDIS_URL, decode_responses=True) as server:
        try:
            offline(1)
            offline(1)
            drain()
            entries = [fields for _, fields in server.xrange(PREFIX + name)]
        finally:
            server.delete(PREFIX + name)
    assert [(entry["type"], entry["sequence"]) for entry in entries] == [("miner.offline", "1"), ("miner.offline", "2")]
    assert states(endpoint) == ["processed"] * 2


def test_a_stream_is_not_for_clients(client_a):
    with pytest.raises(ValidationError, match="webhook"):
        create_endpoint(client_a.pk, "stream", "alerts", [], by=client_a.pk)


def test_a_client_has_so_many_endpoints_and_no_more(client_a, hook):
    for _ in range(10):
        registered(client_a, hook)
    with pytest.raises(ValidationError, match="delete one first"):
        registered(client_a, hook)


def test_a_secret_is_not_stored_in_the_clear(operator, hook):
    endpoint, secret = registered(operator, hook)
    assert secret.startswith("whsec_")
    assert secret not in EventEndpoint.objects.get(pk=endpoint.pk).secret


def test_a_secret_that_cannot_be_read_fails_its_own_delivery_alone(operator, hook):
    lost, _ = registered(operator, hook)
    well, _ = registered(operator, hook)
    EventEndpoint.objects.filter(pk=lost.pk).update(secret="sealed by a key that is gone")
    offline(1)
    drain()
    assert (states(lost), states(well)) == (["pending"], ["processed"])
    assert "SECRET_KEY_FALLBACKS" in lost.deliveries.get().last_error


def test_a_claim_looks_at_little_whatever_waits_at_a_dead_endpoint(operator, client_a, hook):
    """A bound on pages read, with 20,000 deliveries waiting, held, blocked and due."""
    dead, _ = registered(operator, hook)
    offline(1)
    drain()
    (event,) = OutboxEvent.objects.all()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_events (event_uuid, event_type, aggregate_key, aggregate_seq, payload, status)"
            " SELECT gen_random_uuid(), 'webhook.test', 'many:' || n % 50, n, '{}', 'processed'"
            " FROM generate_series(1, 20000) AS n"
        )
        cursor.execute(
            "INSERT INTO event_deliveries (endpoint_id, event_id, aggregate_key)"
            " SELECT %s, id, aggregate_key FROM outbox_events WHERE id > %s",
            [dead.pk, event.pk],
        )
        cursor.execute("UPDATE event_endpoints SET failures = 3")
        cursor.execute("ANALYZE event_deliveries")
        plan = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + deliver.CLAIMS[EndpointKind.WEBHOOK]
        values = {"kind": "webhook", "each": 4, "most": 20, "holder": "me", "lease_s": 60}
        with transaction.atomic():
            cursor.execute(plan, values)
            top = cursor.fetchone()[0][0]["Plan"]
            transaction.set_rollback(True)
    assert top["Actual Rows"] == 1
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 500
