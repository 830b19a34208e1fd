"""The schema says exactly what the API does: it validates, and real answers validate against it."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from hosting.models import MinerLatest, SiteBucket

pytestmark = pytest.mark.django_db

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def schema() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)


def closed(node):
    """The schema with every object refusing properties that it does not name."""
    if isinstance(node, dict):
        strict = {key: closed(value) for key, value in node.items()}
        if "properties" in node and node.get("type") == "object":
            strict["additionalProperties"] = False
        return strict
    return [closed(item) for item in node] if isinstance(node, list) else node


def check(schema: dict, path: str, response, *, method: str = "get") -> None:
    responses = schema["paths"][path][method]["responses"]
    wanted = responses.get(str(response.status_code), responses["4XX"])["content"]["application/json"]["schema"]
    document = {**closed(wanted), "components": closed(schema["components"])}
    Draft202012Validator(document).validate(response.json())


def test_the_schema_is_made_without_a_warning_and_is_valid():
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=StringIO())


def test_the_schema_and_its_page_are_open_to_everybody(client):
    schema = client.get("/api/v1/schema/", headers={"accept": "application/json"})
    assert schema.status_code == 200
    assert schema.json()["openapi"] == "3.1.1"
    assert set(schema.json()["paths"]) == {
        "/api/v1/",
        "/api/v1/agent/readings/",
        "/api/v1/agent/targets/",
        "/api/v1/alerts/",
        "/api/v1/alerts/{id}/",
        "/api/v1/alerts/{id}/acknowledge/",
        "/api/v1/buildings/",
        "/api/v1/buildings/{id}/",
        "/api/v1/circuits/",
        "/api/v1/circuits/{id}/",
        "/api/v1/curtailment/rules/",
        "/api/v1/curtailment/rules/{id}/",
        "/api/v1/curtailment/rules/{id}/arm/",
        "/api/v1/curtailment/rules/{id}/disarm/",
        "/api/v1/curtailment/signals/",
        "/api/v1/curtailment/plans/",
        "/api/v1/curtailment/plans/preview/",
        "/api/v1/curtailment/plans/{id}/",
        "/api/v1/curtailment/plans/{id}/approve/",
        "/api/v1/curtailment/plans/{id}/cancel/",
        "/api/v1/curtailment/plans/{id}/extend/",
        "/api/v1/curtailment/plans/{id}/restore/",
        "/api/v1/curtailment/plans/{id}/targets/",
        "/api/v1/curtailment/plans/{id}/targets/{miner}/hand_over/",
        "/api/v1/curtailment/plans/{id}/targets/{miner}/release/",
        "/api/v1/curtailment/sites/{id}/freeze/",
        "/api/v1/curtailment/sites/{id}/restore/",
        "/api/v1/crm/activities/",
        "/api/v1/crm/activities/{id}/",
        "/api/v1/crm/deals/",
        "/api/v1/crm/deals/{id}/",
        "/api/v1/crm/deals/{id}/move/",
        "/api/v1/crm/leads/",
        "/api/v1/crm/leads/{id}/",
        "/api/v1/crm/leads/{id}/convert/",
        "/api/v1/crm/leads/{id}/move/",
        "/api/v1/crm/contracts/",
        "/api/v1/crm/contracts/{id}/",
        "/api/v1/crm/contracts/{id}/end/",
        "/api/v1/crm/contracts/{id}/versions/",
        "/api/v1/deliveries/",
        "/api/v1/deliveries/{id}/",
        "/api/v1/deliveries/{id}/redeliver/",
        "/api/v1/endpoints/",
        "/api/v1/endpoints/{id}/",
        "/api/v1/endpoints/{id}/rotate-secret/",
        "/api/v1/endpoints/{id}/test/",
        "/api/v1/miner-commands/",
        "/api/v1/miner-commands/{id}/",
        "/api/v1/miner-commands/{id}/results/",
        "/api/v1/indicators/",
        "/api/v1/market/",
        "/api/v1/market/latest/",
        "/api/v1/profit/",
        "/api/v1/miners/",
        "/api/v1/miners/{id}/",
        "/api/v1/miners/{id}/chart/",
        "/api/v1/miners/{id}/energy/",
        "/api/v1/miners/{id}/retire/",
        "/api/v1/miners/{id}/unretire/",
        "/api/v1/miners/{id}/telemetry/",
        "/api/v1/models/",
        "/api/v1/models/{id}/",
        "/api/v1/racks/",
        "/api/v1/racks/{id}/",
        "/api/v1/sites/",
        "/api/v1/sites/{id}/",
        "/api/v1/sites/{id}/chart/",
        "/api/v1/sites/{id}/energy/",
        "/api/v1/sites/{id}/telemetry/",
        "/api/v1/telemetry/",
        "/api/v1/crm/invoices/",
        "/api/v1/crm/invoices/{id}/",
        "/api/v1/crm/invoices/{id}/credit/",
        "/api/v1/crm/invoices/{id}/issue/",
        "/api/v1/crm/invoices/{id}/pay/",
        "/api/v1/crm/payments/",
        "/api/v1/crm/payments/{id}/",
        "/api/v1/tickets/",
        "/api/v1/tickets/{id}/",
        "/api/v1/tickets/{id}/comments/",
        "/api/v1/tickets/{id}/move/",
        "/api/v1/tokens/",
        "/api/v1/tokens/{id}/",
    }


def test_the_page_of_the_schema_needs_no_inline_script_or_style(client):
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "<style" not in html
    assert html.count("<script") == html.count("<script src=") == 3
    assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]
    script = client.get("/api/v1/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert 'url: "/api/v1/schema/"' in script.content.decode()


@pytest.mark.parametrize("role", ["owner", "client_a"])
def test_answers_are_what_the_schema_says(api, *, request, role, schema, miner_a, make_miner, site, read, catalogue):
    read(miner_a, TEN)
    SiteBucket.objects.create(site=site, bucket=TEN, minutes=5, samples=5, estimated_samples=0, hashrate_ths_sum=9)
    MinerLatest.objects.create(miner=miner_a, attempted_at=timezone.now(), seen_at=timezone.now(), hashrate_ths="1.5")
    make_miner("BARE", miner_model=None, site=None, client=miner_a.client)
    door = api(request.getfixturevalue(role))
    hour = "from=2026-11-20T10:00:00Z&to=2026-11-20T11:00:00Z"
    for path in ("", "miners/", "sites/", "models/"):
        check(schema, f"/api/v1/{path}", door.get(f"/api/v1/{path}"))
    for path, row in (("miners", miner_a), ("sites", site), ("models", miner_a.miner_model)):
        check(schema, f"/api/v1/{path}/{{id}}/", door.get(f"/api/v1/{path}/{row.pk}/"))
    for resolution in ("1m", "5m"):
        response = door.get(f"/api/v1/telemetry/?{hour}&resolution={resolution}")
        assert len(response.json()["results"]) == 1
        check(schema, "/api/v1/telemetry/", response)
    check(schema, "/api/v1/sites/{id}/telemetry/", door.get(f"/api/v1/sites/{site.pk}/telemetry/?{hour}"))
    check(schema, "/api/v1/miners/", door.get("/api/v1/miners/?site=x"))


def test_answers_to_changes_are_what_the_schema_says(api, owner, schema, site):
    door = api(owner)
    made = door.post("/api/v1/miners/", {"serial_number": "N", "site_id": site.pk}, format="json")
    assert made.status_code == 201
    check(schema, "/api/v1/miners/", made, method="post")
    refused = door.post("/api/v1/miners/", {"serial_number": "N"}, format="json")
    assert refused.status_code == 400
    check(schema, "/api/v1/miners/", refused, method="post")
    changed = door.patch(f"/api/v1/sites/{site.pk}/", {"capacity_mw": 1.25}, format="json")
    assert changed.json()["capacity_mw"] == 1.25
    check(schema, "/api/v1/sites/{id}/", changed, method="patch")
