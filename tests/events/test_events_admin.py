"""Events, endpoints, deliveries and locks as staff see them, and the few things that staff do with them."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.catalogue import CATALOGUE
from events.models import EventDelivery, EventEndpoint, OutboxEvent, PeriodicRun, SchedulerLock
from events.outbox import publish

pytestmark = pytest.mark.django_db

EVENTS, ENDPOINTS = "/admin/events/outboxevent/", "/admin/events/eventendpoint/"
DELIVERIES, LOCKS = "/admin/events/eventdelivery/", "/admin/events/schedulerlock/"
RUNS = "/admin/events/periodicrun/"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


@pytest.fixture
def office(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def make_event(db):
    def make(miner_id=1, **fields):
        facts = CATALOGUE["miner.offline"].example | {"miner_id": miner_id, "serial_number": f"M-{miner_id}"}
        with transaction.atomic():
            event = publish("miner.offline", about=f"miner:{miner_id}", **facts)
        OutboxEvent.objects.filter(pk=event.pk).update(**fields)
        return event

    return make


def text_of(response) -> str:
    """What a person reads of the page."""
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


def act(door, path: str, action: str, *rows):
    return door.post(path, {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)


def told(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def shown(response) -> list[int]:
    return [row.pk for row in response.context["cl"].result_list]


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:DateTimeField")  # unfold's range filter hands on times without a zone: ours is UTC
def test_events_are_found_by_status_type_thing_and_time(office, make_event):
    old = make_event(1, status="failed", created_at=timezone.now() - timedelta(days=3))
    new = make_event(2)
    today = f"{timezone.now() - timedelta(days=1):%Y-%m-%d}"
    assert shown(office.get(EVENTS)) == [new.pk, old.pk]
    assert shown(office.get(EVENTS, {"status__exact": "failed"})) == [old.pk]
    assert shown(office.get(EVENTS, {"about": "miner:2"})) == [new.pk]
    assert shown(office.get(EVENTS, {"type": "miner.online"})) == []
    assert shown(office.get(EVENTS, {"created_at_from_0": today, "created_at_from_1": "00:00:00"})) == [new.pk]


def test_an_events_page_shows_payload_deliveries_attempts_and_last_error(office, endpoint_a, make_delivery):
    delivery = make_delivery(endpoint_a, status="failed", response_status=502, last_error="the answer was 502")
    event = delivery.event
    OutboxEvent.objects.filter(pk=event.pk).update(attempts=4, last_error="nobody listens")
    html = office.get(f"{EVENTS}{event.pk}/change/").text
    assert "&quot;serial_number&quot;: &quot;M-1&quot;,\n" in html
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "nobody listens" in text
    assert "Tickets of A Failed 0 502 the answer was 502" in text
    assert "Status Pending Attempts 4" in text


def test_finished_events_are_replayed_and_pending_ones_left(office, owner, make_event):
    failed, processed = make_event(1, status="failed", attempts=10), make_event(2, status="processed", attempts=1)
    pending = make_event(3, attempts=2)
    answer = act(office, EVENTS, "replay", failed, processed, pending)
    assert told(answer) == ["2 events pending again. 1 left as it was: pending already, so on their way."]
    assert list(OutboxEvent.objects.order_by("pk").values_list("status", "attempts")) == [
        ("pending", 0),
        ("pending", 0),
        ("pending", 2),
    ]
    logged = LogEntry.objects.order_by("object_id").values_list("user_id", "object_id", "change_message")
    assert list(logged) == [(owner.pk, str(failed.pk), "Replayed."), (owner.pk, str(processed.pk), "Replayed.")]


def test_pending_events_are_cancelled_and_finished_ones_left(office, make_event):
    pending, processed = make_event(1), make_event(2, status="processed")
    answer = act(office, EVENTS, "cancel", pending, processed)
    assert told(answer) == ["1 event cancelled. 1 left as it was: not pending any more."]
    pending.refresh_from_db()
    assert pending.status == "failed"
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(pending.pk)]


@pytest.mark.parametrize("path", [EVENTS, ENDPOINTS, DELIVERIES, LOCKS, RUNS])
@pytest.mark.parametrize("who", ["operator", "client_a", "guest"])
def test_who_may_not_look_finds_no_page(client, request, who, path):
    client.force_login(request.getfixturevalue(who))
    assert client.get(path).status_code in {302, 403}


def test_who_may_look_only_is_offered_no_action(client, operator, make_event, monkeypatch):
    from accounts import roles

    monkeypatch.setitem(roles.TABLE, "outboxevent:view", "oau")
    event = make_event(1, status="failed")
    client.force_login(operator)
    assert shown(client.get(EVENTS)) == [event.pk]
    assert 'value="replay"' not in client.get(f"{EVENTS}{event.pk}/change/").text
    act(client, EVENTS, "replay", event)
    event.refresh_from_db()
    assert event.status == "failed"
    monkeypatch.setitem(roles.TABLE, "outboxevent:replay", "oau")
    assert 'value="replay"' in client.get(f"{EVENTS}{event.pk}/change/").text
    act(client, EVENTS, "replay", event)
    event.refresh_from_db()
    assert event.status == "pending"


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_endpoints_are_listed_with_owner_state_and_what_waits(office, make_endpoint, client_a, make_delivery):
    endpoint = make_endpoint(
        client_a, description="Tickets", status="disabled", failing_since=timezone.now() - timedelta(hours=5)
    )
    for number in (1, 2):
        make_delivery(endpoint, miner_id=number)
    make_delivery(endpoint, miner_id=3, status="failed")
    text = text_of(office.get(ENDPOINTS))
    assert "Webhook https://hooks.example.com/in client-a@farm.example Disabled 5 h ago 2 –" in text
    assert shown(office.get(ENDPOINTS, {"q": "CLIENT-A@farm.example"})) == [endpoint.pk]
    assert shown(office.get(ENDPOINTS, {"q": "nobody@farm.example"})) == []
    assert shown(office.get(ENDPOINTS, {"q": "tick"})) == [endpoint.pk]


def test_the_lists_cost_the_same_queries_however_long(office, make_user, make_endpoint, make_delivery):
    def cost() -> list[int]:
        counts = []
        for path in (EVENTS, ENDPOINTS, DELIVERIES):
            with CaptureQueriesContext(connection) as captured:
                assert office.get(path).status_code == 200
            counts.append(len(captured))
        return counts

    make_delivery(make_endpoint(make_user("client", "c-0"), "h0.example.com"))
    cost()
    few = cost()
    for number in range(1, 15):
        endpoint = make_endpoint(make_user("client", f"c-{number}"), f"h{number}.example.com")
        make_delivery(endpoint, miner_id=number)
    assert cost() == few
    assert max(few) <= 8


def test_staff_add_an_endpoint_for_its_owner_and_see_the_secret_once(office, client_a):
    assert office.get(f"{ENDPOINTS}add/").status_code == 200
    body = {"owner": client_a.email, "kind": "webhook", "target": "https://a.example.com/in", "description": "Tickets"}
    made = office.post(f"{ENDPOINTS}add/", body)
    (secret,) = set(SECRET.findall(made.text))
    assert "no-store" in made.headers["Cache-Control"]
    endpoint = EventEndpoint.objects.get()
    assert (endpoint.owner_id, endpoint.target) == (client_a.pk, "https://a.example.com/in")
    for path in (ENDPOINTS, f"{ENDPOINTS}{endpoint.pk}/change/", f"{ENDPOINTS}{endpoint.pk}/history/"):
        text = office.get(path).text
        assert secret not in text
        assert endpoint.secret not in text
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Added."]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"owner": "nobody@farm.example"}, "Nobody has this address"),
        ({"target": "http://a.example.com/in"}, "https"),
        ({"kind": "pigeon"}, "pigeon is not one of the available choices"),
        ({"event_types": ["miner.exploded"]}, "miner.exploded is not one of the available choices"),
    ],
)
def test_a_bad_field_adds_nothing_and_is_told(office, client_a, change, complaint):
    body = {"owner": client_a.email, "kind": "webhook", "target": "https://a.example.com/in"} | change
    assert complaint in text_of(office.post(f"{ENDPOINTS}add/", body))
    assert not EventEndpoint.objects.exists()


def test_only_what_it_hears_of_and_its_description_can_be_changed(office, endpoint_a, client_b):
    before = EventEndpoint.objects.values("owner_id", "target", "secret", "status", "kind").get()
    path = f"{ENDPOINTS}{endpoint_a.pk}/change/"
    body = {
        "description": "New",
        "event_types": ["miner.online"],
        "target": "https://x.example.com",
        "owner_id": str(client_b.pk),
        "status": "disabled",
        "secret": "mine",
    }
    assert office.post(path, body).status_code == 302
    endpoint_a.refresh_from_db()
    assert (endpoint_a.description, endpoint_a.event_types) == ("New", ["miner.online"])
    assert EventEndpoint.objects.values("owner_id", "target", "secret", "status", "kind").get() == before


def test_endpoints_are_paused_resumed_and_sent_a_test(office, endpoint_a, endpoint_b):
    assert told(act(office, ENDPOINTS, "pause", endpoint_a, endpoint_b)) == ["2 endpoints paused."]
    assert set(EventEndpoint.objects.values_list("status", flat=True)) == {"paused"}
    assert told(act(office, ENDPOINTS, "resume", endpoint_a)) == ["1 endpoint enabled again."]
    assert told(act(office, ENDPOINTS, "send_test", endpoint_a)) == ["1 endpoint sent a test event: see Deliveries."]
    assert EventDelivery.objects.get().endpoint == endpoint_a
    assert LogEntry.objects.count() == 4


def test_a_rotated_secret_is_shown_once_and_only_one_at_a_time(office, endpoint_a, endpoint_b):
    refused = act(office, ENDPOINTS, "rotate_secret", endpoint_a, endpoint_b)
    assert told(refused) == ["Choose one endpoint: each new secret is shown once and must be handed on."]
    answer = act(office, ENDPOINTS, "rotate_secret", endpoint_a)
    (secret,) = set(SECRET.findall(answer.text))
    assert secret != endpoint_a.told
    assert SECRET.search(office.get(ENDPOINTS).text) is None
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Rotated the secret."]


# --- deliveries and locks ---------------------------------------------------------------------------------------------


def test_a_delivery_shows_the_answer_as_text(office, endpoint_a, make_delivery):
    delivery = make_delivery(
        endpoint_a,
        status="failed",
        response_status=500,
        response_excerpt="<script>alert(1)</script>",
        last_error="the answer was 500",
        duration_ms=1234,
    )
    assert "miner.offline Tickets of A Failed 500 0 1,234 ms the answer was 500" in text_of(office.get(DELIVERIES))
    html = office.get(f"{DELIVERIES}{delivery.pk}/change/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert(1)</script>" not in html


def test_deliveries_are_sent_again_or_cancelled(office, endpoint_a, make_delivery):
    failed, pending = make_delivery(endpoint_a, status="failed", attempts=9), make_delivery(endpoint_a, miner_id=2)
    (message,) = told(act(office, DELIVERIES, "redeliver", failed, pending))
    assert message.startswith("1 delivery on the way again. 1 left as it was: ")
    failed.refresh_from_db()
    assert (failed.status, failed.attempts) == ("pending", 0)
    assert told(act(office, DELIVERIES, "cancel", failed, pending)) == ["2 deliveries cancelled."]
    assert set(EventDelivery.objects.values_list("status", flat=True)) == {"failed"}
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize("path", [EVENTS, DELIVERIES, LOCKS, RUNS])
def test_nobody_adds_changes_or_deletes_what_jobs_write(office, endpoint_a, make_delivery, path):
    make_delivery(endpoint_a)
    SchedulerLock.objects.create(
        lock_key="telemetry:1", process_id=7, hostname="pit", expires_at=timezone.now(), holder="0" * 32
    )
    PeriodicRun.objects.create(task="tidy", due_at=timezone.now(), hostname="pit")
    (row,) = office.get(path).context["cl"].result_list
    key = quote(row.pk)
    assert office.get(f"{path}add/").status_code == 403
    assert office.get(f"{path}{key}/change/").status_code == 200
    assert office.post(f"{path}{key}/change/", {}).status_code == 403
    assert office.post(f"{path}{key}/delete/", {"post": "yes"}).status_code == 403


def test_a_lock_shows_holder_token_and_age(office):
    now = timezone.now()
    SchedulerLock.objects.create(
        lock_key="sweep",
        process_id=7,
        hostname="pit",
        acquired_at=now - timedelta(hours=2),
        last_heartbeat=now - timedelta(minutes=1, seconds=1),
        expires_at=now + timedelta(minutes=1),
        holder="0" * 32,
        lock_version=3,
    )
    assert "sweep held pit 7 3 2 h ago 1 min ago" in text_of(office.get(LOCKS))


# --- job runs ---------------------------------------------------------------------------------------------------------


def make_runs(*tasks, periods=3):
    now = timezone.now().replace(microsecond=0)
    for task in tasks:
        for number in range(periods):
            due_at = now - timedelta(hours=number)
            PeriodicRun.objects.create(
                task=task,
                due_at=due_at,
                started_at=due_at,
                finished_at=due_at + timedelta(seconds=1.5 + number),
                outcome="failed" if number == 1 else "done",
                error="no space left" if number == 1 else "",
                hostname="pit",
            )


def test_job_runs_show_the_last_of_each_job_and_are_found_by_job_and_outcome(office):
    make_runs("retention", "dispatch")
    answer = office.get(RUNS)
    text = text_of(answer)
    assert re.search(
        r"Last run of every job .*? dispatch Done \d s ago 1.5 s pit retention Done \d s ago 1.5 s pit", text
    )
    assert len(shown(answer)) == 6
    assert len(shown(office.get(RUNS, {"task": "dispatch"}))) == 3
    (failed,) = shown(office.get(RUNS, {"task": "dispatch", "outcome__exact": "failed"}))
    assert "no space left" in text_of(office.get(f"{RUNS}{failed}/change/"))


def test_a_page_of_job_runs_costs_the_same_queries_however_many_jobs_there_are(office):
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            office.get(RUNS)
        return len(captured)

    make_runs("retention")
    cost()
    few = cost()
    make_runs(*(f"job {number}" for number in range(20)))
    assert cost() == few <= 8


def test_without_any_run_the_page_says_what_to_do(office):
    assert "beat" in text_of(office.get(RUNS))
