"""Sites, models and machines through the API: who sees which rows and fields, who may change them."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from hosting.models import Miner, MinerLatest, MinerModel, OperationLog, Site

pytestmark = pytest.mark.django_db

OPEN_FIELDS = {
    *("id", "serial_number", "status", "model", "site", "purchase_date", "warranty_expiry", "latest", "created_at"),
    *("updated_at", "warranty_start", "retired_at"),
}
STAFF_FIELDS = {
    *("client", "cgminer_ip", "cgminer_port", "cgminer_enabled", "rack_id", "slot"),
    *("warranty_vendor", "warranty_order", "retired_reason"),
}


def ids(response) -> list[int]:
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


# --- who sees what ------------------------------------------------------------------------------------------------------


def test_a_client_lists_their_own_machines_without_addresses_and_owner(api, client_a, miner_a, miner_b):
    rows = api(client_a).get("/api/v1/miners/").json()["results"]
    assert [row["id"] for row in rows] == [miner_a.pk]
    assert set(rows[0]) == OPEN_FIELDS
    assert "127.20.0.1" not in json.dumps(rows)


def test_staff_list_every_machine_with_address_and_owner(api, operator, miner_a, miner_b):
    rows = api(operator).get("/api/v1/miners/").json()["results"]
    assert [row["id"] for row in rows] == [miner_a.pk, miner_b.pk]
    assert set(rows[0]) == OPEN_FIELDS | STAFF_FIELDS
    assert rows[0]["client"] == {"id": str(miner_a.client.pk), "email": "client-a@farm.example"}
    assert (rows[0]["cgminer_ip"], rows[0]["cgminer_port"], rows[0]["cgminer_enabled"]) == ("127.20.0.1", 4028, True)


def test_another_clients_machine_is_not_there(api, client_a, miner_a, miner_b):
    door = api(client_a)
    assert door.get(f"/api/v1/miners/{miner_a.pk}/").json()["serial_number"] == "A-0001"
    foreign = door.get(f"/api/v1/miners/{miner_b.pk}/")
    missing = door.get("/api/v1/miners/2147483647/")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()
    assert foreign.json()["error"]["code"] == "not_found"


def test_a_client_sees_name_and_place_of_the_sites_that_hold_their_machines(api, client_a, miner_a, site):
    other = Site.objects.create(name="South")
    door = api(client_a)
    rows = door.get("/api/v1/sites/").json()["results"]
    assert rows == [{"id": site.pk, "name": "North", "location": "Test valley"}]
    assert door.get(f"/api/v1/sites/{other.pk}/").status_code == 404


def test_staff_see_a_sites_capacity_and_counts(api, operator, site):
    row = api(operator).get(f"/api/v1/sites/{site.pk}/").json()
    assert (row["capacity_mw"], row["total_miners"], row["active_miners"]) == (2.5, 0, 0)


def test_the_catalogue_is_open_to_clients(api, client_a, catalogue):
    rows = api(client_a).get("/api/v1/models/?page_size=1000").json()["results"]
    assert len(rows) == MinerModel.objects.count()
    s19 = next(row for row in rows if row["name"] == "S19 Pro")
    assert set(s19) == {
        *("id", "name", "manufacturer", "hashrate_ths", "power_w", "efficiency_j_th", "release_date", "msrp_usd")
    }
    assert s19["hashrate_ths"] == float(MinerModel.objects.get(name="S19 Pro").hashrate)


@pytest.mark.parametrize("resource", ["sites", "models", "miners", "telemetry"])
def test_a_guest_sees_empty_lists(api, guest, miner_a, resource):
    assert api(guest).get(f"/api/v1/{resource}/").json() == {"results": [], "next": None}


@pytest.mark.parametrize("path", ["", "sites/", "models/", "miners/", "telemetry/", "miners/1/", "miners/1/telemetry/"])
def test_somebody_who_has_not_signed_in_is_told_how(api, db, path):
    response = api(None).get(f"/api/v1/{path}")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="MineFarm API"'
    assert response.json()["error"]["code"] == "not_authenticated"
    assert "/accounts/login/" in response.json()["error"]["message"]


def test_the_root_lists_the_resources(api, guest):
    found = api(guest).get("/api/v1/").json()
    resources = {"sites", "models", "miners", "telemetry", "alerts", "endpoints", "deliveries", "tokens"}
    resources |= {"miner-commands", "market", "indicators", "profit"}
    resources |= {"buildings", "racks", "circuits", "tickets", "curtailment-rules", "curtailment-plans"}
    resources |= {"leads", "deals", "activities", "contracts", "invoices", "payments"}
    assert set(found) == resources | {"schema", "docs"}
    assert found["miners"] == "http://testserver/api/v1/miners/"


# --- the row of a machine -----------------------------------------------------------------------------------------------


def test_decimals_are_numbers_and_unknown_values_null(api, operator, miner_a):
    seen_at = datetime(2026, 11, 20, 10, 5, tzinfo=UTC)
    MinerLatest.objects.create(
        miner=miner_a,
        attempted_at=seen_at,
        seen_at=seen_at,
        hashrate_ths="110.57",
        power_w="3261.82",
        power_estimated=True,
        fan_rpm=[6000, 5880],
        accepted=2**40,
    )
    row = api(operator).get(f"/api/v1/miners/{miner_a.pk}/").json()
    assert row["latest"] == {
        "hashrate_ths": 110.57,
        "hashrate_avg_ths": None,
        "power_w": 3261.82,
        "power_estimated": True,
        "temperature_c": None,
        "fan_rpm": [6000, 5880],
        "uptime_s": None,
        "accepted": 2**40,
        "rejected": None,
        "hardware_errors": None,
        "seen_at": "2026-11-20T10:05:00Z",
        "error": None,
    }
    model = MinerModel.objects.get(name="S19 Pro")
    assert row["model"] == {"id": model.pk, "name": "S19 Pro", "manufacturer": model.manufacturer}
    assert row["site"] == {"id": miner_a.site_id, "name": "North"}


def test_a_machine_without_model_site_owner_or_sweep_has_nulls(api, operator, make_miner):
    bare = make_miner("C-0001", miner_model=None, site=None)
    row = api(operator).get(f"/api/v1/miners/{bare.pk}/").json()
    assert (row["model"], row["site"], row["client"], row["latest"]) == (None, None, None, None)


def test_a_list_costs_three_queries_however_long(api, operator, make_miner, django_assert_num_queries):
    door = api(operator)
    for number in range(3):
        make_miner(f"N-{number}")
    with django_assert_num_queries(3):  # session, user, machines
        assert len(door.get("/api/v1/miners/").json()["results"]) == 3
    for number in range(3, 60):
        miner = make_miner(f"N-{number}")
        MinerLatest.objects.create(miner=miner, attempted_at=timezone.now())
    with django_assert_num_queries(3):
        assert len(door.get("/api/v1/miners/").json()["results"]) == 60


# --- filters and pages --------------------------------------------------------------------------------------------------


def test_filters_narrow_the_list(api, *, operator, make_miner, miner_a, miner_b, client_b):
    south = Site.objects.create(name="South")
    moved = make_miner("X-9", site=south, status="offline", miner_model=MinerModel.objects.exclude(name="S19 Pro")[0])
    door = api(operator)
    assert ids(door.get(f"/api/v1/miners/?site={south.pk}")) == [moved.pk]
    assert ids(door.get("/api/v1/miners/?status=offline")) == [moved.pk]
    assert ids(door.get(f"/api/v1/miners/?model={moved.miner_model_id}")) == [moved.pk]
    assert ids(door.get(f"/api/v1/miners/?client={client_b.pk}")) == [miner_b.pk]
    assert ids(door.get("/api/v1/miners/?serial=-000")) == [miner_a.pk, miner_b.pk]
    assert ids(door.get("/api/v1/miners/?q=south")) == [moved.pk]
    assert ids(door.get(f"/api/v1/miners/?status=active&client={client_b.pk}")) == [miner_b.pk]


def test_a_client_cannot_ask_for_another_clients_machines(api, client_a, client_b, miner_a, miner_b):
    assert ids(api(client_a).get(f"/api/v1/miners/?client={client_b.pk}")) == [miner_a.pk]


def test_pages_hold_every_machine_once(api, operator, make_miner):
    made = [make_miner(f"P-{number}").pk for number in range(7)]
    door = api(operator)
    found, url, pages = [], "/api/v1/miners/?page_size=3&status=active", 0
    while url:
        response = door.get(url)
        found += ids(response)
        url = response.json()["next"]
        pages += 1
    assert found == made
    assert pages == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=ten", "page_size"),
        ("page_size=%D9%A3", "page_size"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%E2%82%AC", "cursor"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5", "cursor"),
        ("cursor=LTE", "cursor"),
        ("site=abc", "site"),
        ("site=99999999999999999999", "site"),
        ("model=-1", "model"),
        ("status=broken", "status"),
        ("client=1", "client"),
        ("q=a%00b", "q"),
        ("serial=%00", "serial"),
        ("statsu=offline", "statsu"),
    ],
)
def test_a_bad_parameter_is_named(api, operator, miner_a, query, field):
    response = api(operator).get(f"/api/v1/miners/?{query}")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid"
    assert list(error["fields"]) == [field]
    assert error["message"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    "path", ["miners/99999999999999999999999/", "sites/0/", "models/4294967296/", "nothing/", "miners/a/"]
)
def test_a_path_that_leads_nowhere_is_404_in_json(api, operator, path):
    response = api(operator).get(f"/api/v1/{path}")
    assert response.status_code == 404
    assert set(response.json()["error"]) == {"code", "message"}


# --- changes ------------------------------------------------------------------------------------------------------------


def test_an_operator_adds_a_machine(api, operator, site, client_a, catalogue):
    model = catalogue.get(name="S19 Pro")
    body = {
        "serial_number": "NEW-1",
        "model_id": model.pk,
        "site_id": site.pk,
        "client_id": str(client_a.pk),
        "cgminer_ip": "127.20.0.9",
        "cgminer_enabled": True,
        "purchase_date": "2026-01-02",
    }
    response = api(operator).post("/api/v1/miners/", body, format="json")
    assert response.status_code == 201, response.content
    miner = Miner.objects.get(serial_number="NEW-1")
    assert (miner.miner_model, miner.site, miner.client, miner.cgminer_ip) == (model, site, client_a, "127.20.0.9")
    assert (miner.cgminer_port, miner.cgminer_enabled, miner.status) == (4028, True, "active")
    assert response.headers["Location"] == f"http://testserver/api/v1/miners/{miner.pk}/"
    assert response.json() == api(operator).get(f"/api/v1/miners/{miner.pk}/").json()
    assert response.json()["purchase_date"] == "2026-01-02"


def test_a_change_writes_only_what_was_sent(api, operator, miner_a, monkeypatch):
    read = Miner.full_clean

    def swept_meanwhile(self, *args, **kwargs):
        Miner.objects.filter(pk=self.pk).update(status="offline")  # the collector, between our read and our write
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Miner, "full_clean", swept_meanwhile)
    response = api(operator).patch(f"/api/v1/miners/{miner_a.pk}/", {"serial_number": "A-2"}, format="json")
    assert response.status_code == 200
    miner_a.refresh_from_db()
    assert (miner_a.serial_number, miner_a.status) == ("A-2", "offline")
    assert response.json()["status"] == "offline"


def test_fields_that_are_not_writable_change_nothing(api, operator, miner_a, site):
    before = Miner.objects.filter(pk=miner_a.pk).values().get()
    body = {"status": "curtailed", "id": 99, "created_at": "2020-01-01T00:00:00Z", "client": {"id": 1}, "site": 5}
    response = api(operator).patch(f"/api/v1/miners/{miner_a.pk}/", body, format="json")
    assert response.status_code == 200
    after = Miner.objects.filter(pk=miner_a.pk).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}


def test_counts_of_a_site_cannot_be_posted(api, owner, db):
    body = {"name": "East", "total_miners": 9, "active_miners": 9, "id": 77}
    response = api(owner).post("/api/v1/sites/", body, format="json")
    assert response.status_code == 201
    made = Site.objects.get(name="East")
    assert (made.total_miners, made.active_miners) == (0, 0)
    assert made.pk != 77


def test_a_model_without_efficiency_gets_it_from_power_and_hashrate(api, admin, db):
    body = {"name": "Z1", "manufacturer": "Zed", "hashrate_ths": 200, "power_w": "3500.00", "msrp_usd": None}
    response = api(admin).post("/api/v1/models/", body, format="json")
    assert response.status_code == 201
    assert response.json()["efficiency_j_th"] == 17.5
    assert MinerModel.objects.get(name="Z1").power_consumption == Decimal("3500.00")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"serial_number": "B-0001"}, "serial_number"),
        ({"serial_number": ""}, "serial_number"),
        ({"serial_number": "a\x00b"}, "serial_number"),
        ({"serial_number": "\ud800"}, "serial_number"),
        ({"model_id": 2**40}, "model_id"),
        ({"model_id": float("1e400")}, "model_id"),
        ({"site_id": "x"}, "site_id"),
        ({"client_id": "nobody"}, "client_id"),
        ({"cgminer_ip": "miner.example"}, "cgminer_ip"),
        ({"cgminer_ip": None}, "cgminer_ip"),
        ({"cgminer_port": 70000}, "cgminer_port"),
        ({"purchase_date": "99999-01-01"}, "purchase_date"),
        ({"cgminer_ip": "127.20.0.2"}, "non_field_errors"),
    ],
)
def test_a_value_that_cannot_be_is_named_and_nothing_changes(api, *, operator, miner_a, miner_b, changes, field):
    before = Miner.objects.filter(pk=miner_a.pk).values().get()
    body = json.dumps(changes).replace("Infinity", "1e400")
    response = api(operator).patch(f"/api/v1/miners/{miner_a.pk}/", body, content_type="application/json")
    assert response.status_code == 400, response.content
    assert list(response.json()["error"]["fields"]) == [field]
    assert Miner.objects.filter(pk=miner_a.pk).values().get() == before


def test_an_owner_who_is_no_client_is_refused(api, operator, miner_a, guest):
    response = api(operator).patch(f"/api/v1/miners/{miner_a.pk}/", {"client_id": str(guest.pk)}, format="json")
    assert response.status_code == 400
    assert list(response.json()["error"]["fields"]) == ["client_id"]


@pytest.mark.parametrize("body", ["{", "[1]", '"text"', "null", "{}" * 2])
def test_a_body_that_is_no_object_is_400(api, operator, body):
    response = api(operator).post("/api/v1/miners/", body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("role", ["client_a", "guest"])
@pytest.mark.parametrize("method", ["post", "patch", "delete"])
def test_customers_change_nothing(api, *, request, role, method, miner_a, site):
    door = api(request.getfixturevalue(role))
    for path in (f"miners/{miner_a.pk}/", f"sites/{site.pk}/", f"models/{miner_a.miner_model_id}/"):
        url = f"/api/v1/{path if method != 'post' else path.split('/')[0] + '/'}"
        response = getattr(door, method)(url, {"name": "x", "serial_number": "x"}, format="json")
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "permission_denied"
    assert list(Miner.objects.values_list("serial_number", flat=True)) == ["A-0001"]
    assert list(Site.objects.values_list("name", flat=True)) == ["North"]
    assert not MinerModel.objects.filter(name="x").exists()


def test_an_operator_may_not_change_sites_or_delete_machines(api, operator, miner_a, site):
    door = api(operator)
    assert door.patch(f"/api/v1/sites/{site.pk}/", {"name": "x"}, format="json").status_code == 403
    assert door.delete(f"/api/v1/miners/{miner_a.pk}/").status_code == 403
    assert Miner.objects.filter(pk=miner_a.pk).exists()


def test_a_machine_without_a_log_can_be_deleted_by_an_administrator(api, admin, miner_a):
    assert api(admin).delete(f"/api/v1/miners/{miner_a.pk}/").status_code == 204
    assert not Miner.objects.exists()


def test_what_is_in_use_is_not_deleted_and_the_answer_says_what_to_do(api, admin, miner_a, miner_b, site):
    response = api(admin).delete(f"/api/v1/sites/{site.pk}/")
    assert response.status_code == 409
    assert response.json()["error"] == {
        "code": "in_use",
        "message": "Still in use by miners (2). Move or delete those first.",
    }
    assert api(admin).delete(f"/api/v1/models/{miner_a.miner_model_id}/").status_code == 409
    OperationLog.objects.create(miner=miner_a, operation="start")
    response = api(admin).delete(f"/api/v1/miners/{miner_a.pk}/")
    assert response.json()["error"]["message"] == (
        "Still in use by operation log lines (1). Move or delete those first."
    )
    assert Miner.objects.count() == 2


def test_a_change_from_a_browser_needs_the_csrf_token(operator, miner_a):
    from rest_framework.test import APIClient

    door = APIClient(enforce_csrf_checks=True)
    door.force_login(operator)
    response = door.patch(f"/api/v1/miners/{miner_a.pk}/", {"serial_number": "A-2"}, format="json")
    assert response.status_code == 403
    assert "CSRF" in response.json()["error"]["message"]
    miner_a.refresh_from_db()
    assert miner_a.serial_number == "A-0001"


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_method_that_is_not_offered_is_405(api, admin, method):
    response = getattr(api(admin), method)("/api/v1/miners/")
    assert response.status_code == 405
    assert response.json()["error"]["code"] == "method_not_allowed"
