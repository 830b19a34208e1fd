"""API and admin: who may order, what a second press gives, what each page shows."""

import json

import pytest
from django.urls import reverse

from hosting.commands import order_machines, work_commands
from hosting.control import Order
from hosting.models import CommandBatch, DiscoveredMiner, FindState, Miner, MinerIdentity

pytestmark = pytest.mark.django_db
API = "/api/v1/miner-commands/"
MINERS = "/admin/hosting/miner/"


@pytest.fixture
def signed_in(client, operator):
    """A browser whose operator proved a moment ago that it is they."""
    client.post("/accounts/login/", {"login": operator.email, "password": "correct horse battery"})
    return client


@pytest.fixture
def machines(make_miner):
    return [make_miner(f"M-{number}", cgminer_ip=f"127.20.0.{number}") for number in range(1, 4)]


def post(client, body, **headers):
    return client.post(API, json.dumps(body), content_type="application/json", headers=headers)


def test_an_order_by_api_is_given_once_for_each_key(signed_in, machines, site):
    body = {"order": "sleep", "reason": "grid", "miners": [machines[0].pk, machines[1].pk]}
    first = post(signed_in, body, **{"Idempotency-Key": "k-1"})
    assert first.status_code == 201, first.content
    document = first.json()
    assert (document["machines"], document["results"]["queued"], document["requested_by"]) == (
        2,
        2,
        "operator@farm.example",
    )
    again = post(signed_in, body, **{"Idempotency-Key": "k-1"})
    assert (again.status_code, again.json()["id"]) == (200, document["id"])
    other = post(signed_in, body | {"order": "wake"}, **{"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
    whole = post(signed_in, {"order": "locate", "reason": "grid", "site": site.pk})
    assert whole.json()["results"] | {"queued": 1, "failed": 2} == whole.json()["results"]
    listed = signed_in.get(API).json()["results"]
    assert [row["id"] for row in listed] == [whole.json()["id"], document["id"]]
    results = signed_in.get(f"{API}{document['id']}/results/?page_size=1").json()
    assert len(results["results"]) == 1
    assert results["next"]
    assert signed_in.get(f"{API}{document['id']}/results/?status=failed").json()["results"] == []
    assert signed_in.get(f"{API}{document['id']}/").json() == document


def test_wrong_orders_name_the_field(signed_in, machines):
    for body, field in (
        ({"order": "sleep", "reason": "x"}, "miners"),
        ({"order": "sleep", "reason": "x", "miners": [999_999]}, "miners"),
        ({"order": "sleep", "reason": "x", "site": 999_999}, "site"),
        ({"order": "dance", "reason": "x", "miners": [machines[0].pk]}, "order"),
        ({"order": "sleep", "miners": [machines[0].pk]}, "reason"),
    ):
        answer = post(signed_in, body)
        assert answer.status_code == 400
        assert field in answer.json()["error"]["fields"]
    assert post(signed_in, {"order": "set_power_limit", "reason": "x", "miners": [machines[0].pk]}).status_code == 400
    assert not CommandBatch.objects.exists()


def test_an_order_by_a_person_takes_a_fresh_proof(client, operator, machines, settings):
    settings.STEP_UP_S = 0
    client.force_login(operator)
    answer = post(client, {"order": "sleep", "reason": "x", "miners": [machines[0].pk]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    ticked = {"action": "give_order", "_selected_action": [machines[0].pk]}
    assert "/accounts/reauthenticate/" in client.post(MINERS, ticked)["Location"]
    assert not CommandBatch.objects.exists()


def test_customers_neither_order_nor_see_orders(client, client_a, guest, operator, machines):
    Miner.objects.update(client=client_a)
    batch = order_machines(Miner.objects.all(), Order.SLEEP, reason="x", by=operator)
    for person in (client_a, guest):
        client.force_login(person)
        assert post(client, {"order": "sleep", "reason": "x", "miners": [machines[0].pk]}).status_code == 403
        assert client.get(API).status_code == 403
        assert client.get(f"{API}{batch.pk}/").status_code in {403, 404}


def test_the_list_of_machines_orders_and_shows_the_batch(signed_in, machines):
    ticked = {"action": "give_order", "_selected_action": [one.pk for one in machines]}
    page = signed_in.post(MINERS, ticked)
    assert page.status_code == 200
    key = page.context["form"].initial["key"]
    form = ticked | {"apply": "1", "order": "sleep", "reason": "hot day", "key": key}
    wrong = signed_in.post(MINERS, form | {"watts": "2800"})
    assert "with no other order" in wrong.text
    sent = signed_in.post(MINERS, form)
    batch = CommandBatch.objects.get()
    assert sent["Location"] == reverse("admin:hosting_commandbatch_change", args=[batch.pk])
    assert signed_in.post(MINERS, form)["Location"] == sent["Location"]  # a second press
    assert CommandBatch.objects.count() == 1
    under_way = signed_in.get(sent["Location"])
    assert under_way["Refresh"] == "3"
    assert "M-2" in under_way.text
    Miner.objects.update(status="maintenance")
    work_commands()
    done = signed_in.get(sent["Location"])
    assert "Refresh" not in done
    assert "it is in maintenance" in done.text
    assert "3 failed" in signed_in.get(reverse("admin:hosting_commandbatch_changelist")).text
    assert signed_in.get(reverse("admin:hosting_minercommand_changelist")).status_code == 200
    assert (
        signed_in.get(reverse("admin:hosting_minercommand_change", args=[batch.commands.first().pk])).status_code == 200
    )


def test_what_answers_instead_may_be_accepted(signed_in, machines):
    MinerIdentity.objects.create(miner=machines[0], mismatch="serial number X-9, MAC 02:00:00:00:00:01")
    ticked = {"action": "accept_identity", "_selected_action": [one.pk for one in machines]}
    signed_in.post(MINERS, ticked)
    identity = MinerIdentity.objects.get()
    assert (identity.serial, identity.mac, identity.mismatch) == ("X-9", "02:00:00:00:00:01", None)
    assert machines[0].operations.get().operation == "identity accepted"


def test_finds_are_adopted_from_their_list(signed_in, site, catalogue):
    find = DiscoveredMiner.objects.create(
        site=site, host="10.0.3.7", serial="S-1", model="Antminer S19 Pro", seen_at="2026-11-23T10:00Z"
    )
    url = reverse("admin:hosting_discoveredminer_changelist")
    assert "10.0.3.7" in signed_in.get(url).text
    signed_in.post(url, {"action": "adopt_finds", "_selected_action": [find.pk]})
    miner = Miner.objects.get()
    assert (miner.serial_number, miner.cgminer_ip, miner.miner_model.name) == ("S-1", "10.0.3.7", "S19 Pro")
    find.refresh_from_db()
    assert find.state == FindState.ADOPTED
    answer = signed_in.post(url, {"action": "scan_again", "_selected_action": [find.pk]}, follow=True)
    assert "North lists no networks" in answer.text
