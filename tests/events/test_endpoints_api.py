"""Endpoints and deliveries through the API: own and foreign, bad input, and a secret that is told once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import EventDelivery, EventEndpoint, OutboxEvent
from tests.hosting.api.test_api_schema import check, schema  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db

ENDPOINTS, DELIVERIES = "/api/v1/endpoints/", "/api/v1/deliveries/"
OPEN_FIELDS = {
    *("id", "kind", "target", "description", "event_types", "status", "status_reason", "failures", "failing_since"),
    *("last_success_at", "previous_secret_until", "created_at", "updated_at"),
}


def one(endpoint, verb="") -> str:
    return f"{ENDPOINTS}{endpoint.pk}/{verb}"


def ids(response) -> list[int]:
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


# --- registering ------------------------------------------------------------------------------------------------------


def test_a_client_registers_a_webhook_and_is_told_its_secret_once(api, client_a):
    door = api(client_a)
    body = {"target": "https://a.example.com/in", "event_types": ["miner.offline"], "description": "Tickets"}
    made = door.post(ENDPOINTS, body, format="json")
    assert made.status_code == 201, made.content
    endpoint = EventEndpoint.objects.get()
    assert (endpoint.owner_id, endpoint.kind, endpoint.target) == (client_a.pk, "webhook", body["target"])
    assert (endpoint.event_types, endpoint.description, endpoint.status) == (["miner.offline"], "Tickets", "enabled")
    assert made.headers["Location"] == f"http://testserver{one(endpoint)}"
    assert made.headers["Cache-Control"] == "no-store"
    row = made.json()
    secret = row.pop("secret")
    assert secret.startswith("whsec_")
    assert secret not in endpoint.secret
    assert set(row) == OPEN_FIELDS
    assert row == door.get(one(endpoint)).json() == door.get(ENDPOINTS).json()["results"][0]
    for path in (ENDPOINTS, one(endpoint)):
        text = door.get(path).content.decode()
        assert secret not in text
        assert endpoint.secret not in text


def test_a_guest_registers_nothing(api, guest):
    refused = api(guest).post(ENDPOINTS, {"target": "https://g.example.com/in"}, format="json")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "permission_denied"
    assert not EventEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({"target": ""}, "target"),
        ({"target": "http://a.example.com/in"}, "target"),
        ({"target": "ftp://a.example.com"}, "target"),
        ({"target": "https://a.example.com/" + "x" * 2000}, "target"),
        ({"target": "https://a.example.com/\x00"}, "target"),
        ({"target": "https://a.example.com/in", "kind": "pigeon"}, "kind"),
        ({"target": "https://a.example.com/in", "event_types": "miner.offline"}, "event_types"),
        ({"target": "https://a.example.com/in", "event_types": ["miner.exploded"]}, "event_types"),
        ({"target": "https://a.example.com/in", "description": "x" * 201}, "description"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_registered(api, client_a, body, field):
    refused = api(client_a).post(ENDPOINTS, body, format="json")
    assert refused.status_code == 400, refused.content
    error = refused.json()["error"]
    assert (error["code"], list(error["fields"])) == ("invalid", [field])
    assert not EventEndpoint.objects.exists()


def test_what_is_not_offered_cannot_be_set(api, client_a, client_b):
    body = {
        "target": "https://a.example.com/in",
        "owner_id": str(client_b.pk),
        "secret": "mine",
        "status": "disabled",
        "failures": 7,
    }
    api(client_a).post(ENDPOINTS, body, format="json")
    endpoint = EventEndpoint.objects.get()
    assert (endpoint.owner_id, endpoint.status, endpoint.failures) == (client_a.pk, "enabled", 0)
    assert endpoint.secret != "mine"


# --- own and foreign ----------------------------------------------------------------------------------------------------


def test_clients_list_their_own_and_the_owner_of_the_farm_all(
    api, *, client_a, owner, operator, endpoint_a, endpoint_b
):
    assert ids(api(client_a).get(ENDPOINTS)) == [endpoint_a.pk]
    rows = api(owner).get(ENDPOINTS).json()["results"]
    assert [(row["id"], row["owner_id"]) for row in rows] == [
        (endpoint_a.pk, str(endpoint_a.owner_id)),
        (endpoint_b.pk, str(endpoint_b.owner_id)),
    ]
    assert ids(api(owner).get(f"{ENDPOINTS}?owner={endpoint_b.owner_id}")) == [endpoint_b.pk]
    assert ids(api(operator).get(ENDPOINTS)) == []


def test_a_guest_sees_empty_lists_even_with_an_endpoint_from_better_days(api, guest, make_endpoint, make_delivery):
    delivery = make_delivery(make_endpoint(guest))
    door = api(guest)
    assert ids(door.get(ENDPOINTS)) == ids(door.get(DELIVERIES)) == []
    assert door.get(f"{DELIVERIES}{delivery.pk}/").status_code == 404


@pytest.mark.parametrize("who", ["client_a", "operator", "guest"])
def test_a_foreign_endpoint_is_not_there_for_any_method(api, request, who, endpoint_b, make_delivery):
    delivery = make_delivery(endpoint_b, status="failed")
    before = EventEndpoint.objects.values().get(), EventDelivery.objects.values().get()
    door = api(request.getfixturevalue(who))
    answers = [
        door.get(one(endpoint_b)),
        door.patch(one(endpoint_b), {"description": "mine", "status": "paused"}, format="json"),
        door.delete(one(endpoint_b)),
        door.post(one(endpoint_b, "rotate-secret/")),
        door.post(one(endpoint_b, "test/")),
        door.get(f"{DELIVERIES}{delivery.pk}/"),
        door.post(f"{DELIVERIES}{delivery.pk}/redeliver/"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 7
    assert {answer.json()["error"]["code"] for answer in answers} == {"not_found"}
    assert ids(door.get(f"{DELIVERIES}?endpoint={endpoint_b.pk}")) == []
    assert (EventEndpoint.objects.values().get(), EventDelivery.objects.values().get()) == before
    assert OutboxEvent.objects.count() == 1


def test_nobody_gets_in_without_signing_in(api, endpoint_a):
    for path in (ENDPOINTS, DELIVERIES, one(endpoint_a)):
        assert api(None).get(path).status_code in {401, 403}
    assert api(None).post(one(endpoint_a, "rotate-secret/")).status_code in {401, 403}


def test_a_session_alone_changes_nothing(client_a, endpoint_a):
    from rest_framework.test import APIClient

    door = APIClient(enforce_csrf_checks=True)
    door.force_login(client_a)
    refused = door.post(one(endpoint_a, "rotate-secret/"))
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["error"]["message"]


# --- changing -----------------------------------------------------------------------------------------------------------


def test_a_client_changes_pauses_and_resumes(api, client_a, endpoint_a):
    door = api(client_a)
    body = {"description": "New", "event_types": ["miner.online", "miner.offline"], "target": "https://x.example.com"}
    changed = door.patch(one(endpoint_a), body, format="json").json()
    assert (changed["description"], changed["event_types"]) == ("New", ["miner.offline", "miner.online"])
    assert changed["target"] == "https://a.example.com/in"
    assert door.patch(one(endpoint_a), {"status": "paused"}, format="json").json()["status"] == "paused"
    assert door.patch(one(endpoint_a), {"status": "paused"}, format="json").json()["status"] == "paused"
    assert door.patch(one(endpoint_a), {"status": "enabled"}, format="json").json()["status"] == "enabled"


def test_a_disabled_endpoint_is_taken_up_again_but_nobody_disables_one(api, client_a, make_endpoint):
    endpoint = make_endpoint(client_a, status="disabled", status_reason="Gone (410).")
    door = api(client_a)
    refused = door.patch(one(endpoint), {"status": "disabled"}, format="json")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["status"])
    assert door.patch(one(endpoint), {"status": "enabled"}, format="json").json()["status"] == "enabled"


def test_half_a_bad_change_changes_nothing(api, client_a, endpoint_a):
    body = {"description": "New", "event_types": ["miner.exploded"]}
    refused = api(client_a).patch(one(endpoint_a), body, format="json")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["event_types"])
    endpoint_a.refresh_from_db()
    assert endpoint_a.description == "Tickets of A"


def test_a_deleted_endpoint_takes_its_deliveries_along(api, client_a, endpoint_a, make_delivery):
    make_delivery(endpoint_a)
    assert api(client_a).delete(one(endpoint_a)).status_code == 204
    assert not EventEndpoint.objects.exists()
    assert not EventDelivery.objects.exists()
    assert OutboxEvent.objects.count() == 1


def test_rotation_tells_a_new_secret_once(api, client_a, endpoint_a):
    door = api(client_a)
    answer = door.post(one(endpoint_a, "rotate-secret/"))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert set(answer.json()) == {"secret", "previous_secret_until"}
    secret = answer.json()["secret"]
    assert secret.startswith("whsec_")
    assert secret != endpoint_a.told
    seen = door.get(one(endpoint_a))
    assert secret not in seen.content.decode()
    assert seen.json()["previous_secret_until"] == answer.json()["previous_secret_until"] is not None


def test_the_owner_of_the_farm_rotates_for_a_client(api, owner, endpoint_a):
    assert api(owner).post(one(endpoint_a, "rotate-secret/")).json()["secret"] != endpoint_a.told


# --- deliveries ---------------------------------------------------------------------------------------------------------


def test_a_test_event_goes_to_this_endpoint_alone(api, client_a, endpoint_a, make_endpoint):
    make_endpoint(client_a, "other.example.com")
    answer = api(client_a).post(one(endpoint_a, "test/"))
    assert answer.status_code == 202, answer.content
    delivery = EventDelivery.objects.get()
    assert delivery.endpoint_id == answer.json()["endpoint_id"] == endpoint_a.pk
    assert answer.headers["Location"] == f"http://testserver{DELIVERIES}{delivery.pk}/"
    assert api(client_a).get(answer.headers["Location"]).json()["event_uuid"] == str(delivery.event.event_uuid)


def test_deliveries_are_listed_newest_first_with_their_answers(api, client_a, endpoint_a, endpoint_b, make_delivery):
    failed = make_delivery(
        endpoint_a,
        status="failed",
        attempts=10,
        response_status=500,
        response_excerpt="<b>oops</b>",
        last_error="the answer was 500",
        duration_ms=81,
    )
    pending = make_delivery(endpoint_a, "miner.online")
    make_delivery(endpoint_b)
    door = api(client_a)
    rows = door.get(DELIVERIES).json()["results"]
    assert [row["id"] for row in rows] == [pending.pk, failed.pk]
    assert (rows[0]["event_type"], rows[0]["status"], rows[0]["response_status"]) == ("miner.online", "pending", None)
    assert rows[0]["next_attempt_at"] is not None
    assert rows[1] == {
        "id": failed.pk,
        "endpoint_id": endpoint_a.pk,
        "event_uuid": str(failed.event.event_uuid),
        "event_type": "miner.offline",
        "status": "failed",
        "attempts": 10,
        "next_attempt_at": None,
        "response_status": 500,
        "response_excerpt": "<b>oops</b>",
        "error": "the answer was 500",
        "duration_ms": 81,
        "created_at": rows[1]["created_at"],
        "processed_at": None,
    }
    assert rows[1] == door.get(f"{DELIVERIES}{failed.pk}/").json()


def test_filters_narrow_the_deliveries(api, client_a, endpoint_a, make_endpoint, make_delivery):
    other = make_endpoint(client_a, "other.example.com")
    old = make_delivery(endpoint_a, status="failed", created_at=timezone.now() - timedelta(days=3))
    new = make_delivery(other, "miner.online")
    door = api(client_a)
    yesterday = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    assert ids(door.get(f"{DELIVERIES}?endpoint={other.pk}")) == [new.pk]
    assert ids(door.get(f"{DELIVERIES}?status=failed")) == [old.pk]
    assert ids(door.get(f"{DELIVERIES}?event_type=miner.online")) == [new.pk]
    assert ids(door.get(f"{DELIVERIES}?from={yesterday}")) == [new.pk]
    assert ids(door.get(f"{DELIVERIES}?to={yesterday}")) == [old.pk]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{DELIVERIES}?endpoint=x", "endpoint"),
        (f"{DELIVERIES}?status=lost", "status"),
        (f"{DELIVERIES}?from=yesterday", "from"),
        (f"{DELIVERIES}?event_type=%00", "event_type"),
        (f"{DELIVERIES}?stauts=failed", "stauts"),
        (f"{DELIVERIES}?cursor=nonsense", "cursor"),
        (f"{ENDPOINTS}?status=lost", "status"),
        (f"{ENDPOINTS}?kind=pigeon", "kind"),
        (f"{ENDPOINTS}?ower=1", "ower"),
    ],
)
def test_a_bad_parameter_is_named(api, client_a, path, field):
    refused = api(client_a).get(path)
    assert refused.status_code == 400
    assert list(refused.json()["error"]["fields"]) == [field]


def test_pages_hold_every_delivery_once(api, client_a, endpoint_a, make_delivery):
    made = [make_delivery(endpoint_a, miner_id=number).pk for number in range(1, 8)]
    found, url = [], f"{DELIVERIES}?page_size=3"
    while url:
        answer = api(client_a).get(url)
        found += ids(answer)
        url = answer.json()["next"]
    assert found == made[::-1]


def test_a_failed_delivery_is_sent_again_and_a_waiting_one_is_not(api, client_a, endpoint_a, make_delivery):
    delivery = make_delivery(endpoint_a, status="failed", attempts=10, last_error="the answer was 500")
    door = api(client_a)
    answer = door.post(f"{DELIVERIES}{delivery.pk}/redeliver/")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("pending", 0)
    assert door.post(f"{DELIVERIES}{delivery.pk}/redeliver/").status_code in {400, 409}


def test_lists_cost_the_same_however_long(api, client_a, make_endpoint, make_delivery):
    door = api(client_a)

    def cost(expected: int) -> list[int]:
        counts = []
        for path in (ENDPOINTS, DELIVERIES):
            with CaptureQueriesContext(connection) as captured:
                assert len(ids(door.get(path))) == expected
            counts.append(len(captured))
        return counts

    make_delivery(make_endpoint(client_a, "h0.example.com"))
    few = cost(1)
    for number in range(1, 10):
        make_delivery(make_endpoint(client_a, f"h{number}.example.com"), miner_id=number)
    assert cost(10) == few
    # Session, user, rows; four more where row security wraps a customer's request.
    assert few in ([3, 3], [7, 7])


@pytest.mark.parametrize("who", ["client_a", "owner"])
def test_answers_are_what_the_schema_says(api, *, request, who, schema, endpoint_a, make_delivery):  # noqa: F811
    delivery = make_delivery(endpoint_a, status="failed", response_status=500, last_error="the answer was 500")
    door = api(request.getfixturevalue(who))
    made = door.post(ENDPOINTS, {"target": "https://new.example.com/in"}, format="json")
    assert made.status_code == 201
    check(schema, ENDPOINTS, made, method="post")
    for path, number in ((ENDPOINTS, endpoint_a.pk), (DELIVERIES, delivery.pk)):
        check(schema, path, door.get(path))
        check(schema, f"{path}{{id}}/", door.get(f"{path}{number}/"))
    changed = door.patch(one(endpoint_a), {"description": ""}, format="json")
    check(schema, f"{ENDPOINTS}{{id}}/", changed, method="patch")
    rotated = door.post(one(endpoint_a, "rotate-secret/"))
    assert rotated.status_code == 200
    check(schema, f"{ENDPOINTS}{{id}}/rotate-secret/", rotated, method="post")
    sent = door.post(one(endpoint_a, "test/"))
    assert sent.status_code == 202
    check(schema, f"{ENDPOINTS}{{id}}/test/", sent, method="post")
    again = door.post(f"{DELIVERIES}{delivery.pk}/redeliver/")
    assert again.status_code == 202
    check(schema, f"{DELIVERIES}{{id}}/redeliver/", again, method="post")
