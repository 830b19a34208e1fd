"""A person's webhooks in the portal: every door, own and foreign, and a secret that is shown once."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import EventDelivery, EventEndpoint, OutboxEvent

pytestmark = pytest.mark.django_db

LIST, ADD = "/webhooks/", "/webhooks/add/"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
CHANGES = ("test/", "pause/", "resume/", "rotate/", "delete/", "edit/")


def at(endpoint, verb="") -> str:
    return f"{LIST}{endpoint.pk}/{verb}"


def page(door, path: str) -> str:
    answer = door.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()


@pytest.fixture
def portal(client, client_a):
    client.force_login(client_a)
    return client


# --- who gets in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LIST, ADD, "/webhooks/1/", "/webhooks/1/delete/"])
def test_nobody_gets_in_without_signing_in(client, db, path):
    answer = client.get(path)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={path}")


def test_clients_and_staff_have_the_entry_in_the_navigation_and_guests_have_no_such_page(
    client, client_a, operator, guest
):
    for user in (client_a, operator):
        client.force_login(user)
        assert 'href="/webhooks/"' in page(client, "/miners/")
        page(client, LIST)
    client.force_login(guest)
    assert 'href="/webhooks/"' not in page(client, "/miners/")
    for path in (LIST, ADD):
        assert client.get(path).status_code == 404
    assert client.post(ADD, {"target": "https://g.example.com/in"}).status_code == 404
    assert not EventEndpoint.objects.exists()


@pytest.mark.parametrize("who", ["client_a", "owner", "guest"])
def test_a_foreign_webhook_is_not_there(client, request, who, endpoint_b, make_delivery):
    delivery = make_delivery(endpoint_b, status="failed")
    before = EventEndpoint.objects.values().get(), EventDelivery.objects.values().get()
    client.force_login(request.getfixturevalue(who))
    for path in (at(endpoint_b), at(endpoint_b, "edit/"), at(endpoint_b, "delete/")):
        assert client.get(path).status_code == 404, path
    for verb in CHANGES:
        assert client.post(at(endpoint_b, verb), {"description": "mine"}).status_code == 404, verb
    assert client.get(f"{LIST}deliveries/{delivery.pk}/result/").status_code == 404
    assert client.post(f"{LIST}deliveries/{delivery.pk}/redeliver/").status_code == 404
    assert (EventEndpoint.objects.values().get(), EventDelivery.objects.values().get()) == before
    assert OutboxEvent.objects.count() == 1


def test_another_persons_webhooks_and_deliveries_are_not_listed(portal, endpoint_a, endpoint_b, make_delivery):
    foreign = make_delivery(endpoint_b)
    html = page(portal, LIST)
    assert "Tickets of A" in html
    assert "Tickets of B" not in html
    detail = page(portal, f"{at(endpoint_a)}?test={foreign.pk}")
    assert str(foreign.event.event_uuid) not in detail
    assert "test-result" not in detail


def test_a_change_takes_a_post_and_a_token(client_a, endpoint_a, make_delivery):
    delivery = make_delivery(endpoint_a, status="failed")
    door = Client(enforce_csrf_checks=True)
    door.force_login(client_a)
    redeliver = f"{LIST}deliveries/{delivery.pk}/redeliver/"
    for path in (ADD, redeliver, *(at(endpoint_a, verb) for verb in CHANGES)):
        assert door.post(path).status_code == 403, path
    for path in (redeliver, *(at(endpoint_a, verb) for verb in ("test/", "pause/", "resume/", "rotate/"))):
        assert door.get(path).status_code == 405, path
    endpoint_a.refresh_from_db()
    assert (endpoint_a.status, endpoint_a.previous_secret) == ("enabled", None)


# --- registering ------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_what_to_do_next(portal):
    html = page(portal, LIST)
    assert "No webhooks yet." in html
    assert f'href="{ADD}"' in html


def test_the_form_offers_the_events_with_what_they_tell(portal):
    html = page(portal, ADD)
    assert 'value="miner.offline"' in html
    assert "five minutes" in html


def test_a_webhook_is_registered_and_its_secret_shown_once_and_nowhere_else(portal, client_a):
    body = {"target": " https://a.example.com/in ", "event_types": ["miner.online"], "description": "Tickets"}
    made = portal.post(ADD, body)
    html = made.content.decode()
    endpoint = EventEndpoint.objects.get()
    assert (endpoint.owner_id, endpoint.kind, endpoint.target) == (client_a.pk, "webhook", "https://a.example.com/in")
    assert (endpoint.event_types, endpoint.description) == (["miner.online"], "Tickets")
    (secret,) = set(SECRET.findall(html))
    assert made.headers["Cache-Control"] == "no-store"
    assert "webhook-signature" in html
    assert secret not in endpoint.secret
    for path in (LIST, at(endpoint), at(endpoint, "edit/"), at(endpoint, "delete/")):
        text = page(portal, path)
        assert SECRET.search(text) is None
        assert endpoint.secret not in text
    assert secret not in str(dict(portal.session))


def test_an_error_stands_next_to_its_field_and_the_rest_is_kept(portal):
    refused = portal.post(
        ADD, {"target": "http://a.example.com/in", "event_types": ["miner.online"], "description": "Tickets"}
    )
    assert refused.status_code == 200
    html = refused.content.decode()
    assert re.search(r'id="target-errors">[^<]*https', html)
    assert 'value="http://a.example.com/in"' in html
    assert re.search(r'value="miner.online"\s+checked', html)
    assert 'value="Tickets"' in html
    assert not EventEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, "target-errors"),
        ({"target": "https://a.example.com/in", "event_types": ["miner.exploded"]}, "types-errors"),
        ({"target": "https://a.example.com/in", "description": "x" * 201}, "description-errors"),
        ({"target": "https://a.example.com/\x00"}, "target-errors"),
    ],
)
def test_bad_input_registers_nothing(portal, body, errors):
    refused = portal.post(ADD, body)
    assert refused.status_code == 200
    assert f'id="{errors}"' in refused.content.decode()
    assert not EventEndpoint.objects.exists()


def test_hostile_text_is_shown_as_text(portal, client_a, make_endpoint, make_delivery):
    hostile = "<script>alert(1)</script>"
    endpoint = make_endpoint(client_a, description=hostile)
    delivery = make_delivery(
        endpoint, status="failed", last_error=hostile, response_excerpt=hostile, response_status=500
    )
    for path in (LIST, at(endpoint), at(endpoint, "delete/"), f"{at(endpoint)}?test={delivery.pk}"):
        assert hostile not in page(portal, path)


# --- one webhook --------------------------------------------------------------------------------------------------------


def test_a_test_event_is_sent_and_its_result_asked_for_until_it_is_there(portal, endpoint_a):
    sent = portal.post(at(endpoint_a, "test/"))
    delivery = EventDelivery.objects.get()
    assert (sent.status_code, sent["Location"]) == (302, f"{at(endpoint_a)}?test={delivery.pk}")
    result = f"{LIST}deliveries/{delivery.pk}/result/"
    assert f'hx-get="{result}?n=1"' in page(portal, sent["Location"])
    waiting = page(portal, f"{result}?n=1")
    assert "On its way" in waiting
    assert f'hx-get="{result}?n=2"' in waiting
    given_up = page(portal, f"{result}?n=20")
    assert "No answer yet" in given_up
    assert "hx-get" not in given_up
    EventDelivery.objects.update(
        status="processed", attempts=1, response_status=204, duration_ms=37, processed_at=timezone.now()
    )
    arrived = page(portal, f"{result}?n=3")
    assert "Your server answered 204 in 37 ms" in arrived
    assert "hx-get" not in arrived


def test_a_failing_test_says_why_and_when_it_is_tried_again(portal, endpoint_a, make_delivery):
    delivery = make_delivery(
        endpoint_a, attempts=1, response_status=500, last_error="the answer was 500", response_excerpt="out of order"
    )
    html = page(portal, f"{LIST}deliveries/{delivery.pk}/result/")
    assert "It did not get through" in html
    assert "the answer was 500" in html
    assert "out of order" in html
    assert "tried again" in html
    assert "hx-get" not in html


@pytest.mark.parametrize("query", ["test=x", "test=-1", "test=99999999999999999999", "test=²"])
def test_nonsense_in_the_address_bar_is_no_error(portal, endpoint_a, query):
    page(portal, f"{at(endpoint_a)}?{query}")


def test_a_webhook_is_paused_and_resumed(portal, endpoint_a):
    for verb, status in (("pause/", "paused"), ("resume/", "enabled")):
        answer = portal.post(at(endpoint_a, verb))
        assert (answer.status_code, answer["Location"]) == (302, at(endpoint_a))
        endpoint_a.refresh_from_db()
        assert endpoint_a.status == status


def test_a_disabled_webhook_says_why_and_offers_to_resume(portal, client_a, make_endpoint):
    endpoint = make_endpoint(client_a, status="disabled", status_reason="It answered 410 Gone.")
    html = page(portal, at(endpoint))
    assert "It answered 410 Gone." in html
    assert at(endpoint, "resume/") in html
    portal.post(at(endpoint, "resume/"))
    endpoint.refresh_from_db()
    assert endpoint.status == "enabled"


def test_a_rotated_secret_is_shown_once(portal, endpoint_a):
    answer = portal.post(at(endpoint_a, "rotate/"))
    (secret,) = set(SECRET.findall(answer.content.decode()))
    assert secret != endpoint_a.told
    assert "two signatures" in answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert SECRET.search(page(portal, at(endpoint_a))) is None


def test_what_it_hears_of_is_changed(portal, endpoint_a):
    assert 'value="Tickets of A"' in page(portal, at(endpoint_a, "edit/"))
    answer = portal.post(at(endpoint_a, "edit/"), {"event_types": ["miner.online"], "description": ""})
    assert answer.status_code == 302
    endpoint_a.refresh_from_db()
    assert (endpoint_a.event_types, endpoint_a.description) == (["miner.online"], "")
    assert endpoint_a.target == "https://a.example.com/in"
    assert portal.post(at(endpoint_a, "edit/"), {"event_types": ["x"]}).status_code == 200


def test_a_webhook_is_deleted_after_a_question(portal, endpoint_a, make_delivery):
    make_delivery(endpoint_a)
    assert "1 still waiting" in page(portal, at(endpoint_a, "delete/"))
    assert EventEndpoint.objects.exists()
    answer = portal.post(at(endpoint_a, "delete/"))
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    assert not EventEndpoint.objects.exists()


def test_a_failed_delivery_is_sent_again(portal, endpoint_a, make_delivery):
    delivery = make_delivery(endpoint_a, status="failed", attempts=10, last_error="the answer was 500")
    html = page(portal, at(endpoint_a))
    assert "the answer was 500" in html
    answer = portal.post(f"{LIST}deliveries/{delivery.pk}/redeliver/")
    assert (answer.status_code, answer["Location"]) == (302, f"{at(endpoint_a)}?test={delivery.pk}")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("pending", 0)
    assert "On its way" in page(portal, answer["Location"])


def test_the_pages_cost_the_same_queries_however_much_there_is(portal, client_a, make_endpoint, make_delivery):
    endpoint = make_endpoint(client_a, "h0.example.com")
    make_delivery(endpoint)

    def cost() -> list[int]:
        counts = []
        for path in (LIST, at(endpoint)):
            with CaptureQueriesContext(connection) as captured:
                page(portal, path)
            counts.append(len(captured))
        return counts

    few = cost()
    for number in range(1, 10):
        make_endpoint(client_a, f"h{number}.example.com")
        make_delivery(endpoint, miner_id=number)
    assert cost() == few
    # Session, user, rows, and on its own page the webhook; four more where row security wraps a customer's request.
    assert few in ([3, 4], [7, 8])


def test_the_pages_have_no_inline_script_or_style(portal, endpoint_a, make_delivery):
    make_delivery(endpoint_a)
    for path in (LIST, ADD, at(endpoint_a), at(endpoint_a, "delete/")):
        answer = portal.get(path)
        html = answer.content.decode()
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert html.count("<script") == html.count("<script src=")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
