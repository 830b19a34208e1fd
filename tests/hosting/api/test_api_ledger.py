"""Charts and energy over the API: exact, bounded, and of one's own machines only."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from drf_spectacular.generators import SchemaGenerator

from hosting.energy import energy, total_kwh
from hosting.models import Miner
from hosting.telemetry.rollups import roll_up
from tests.hosting.api.test_api_schema import check
from tests.telemetry.synthetic import fill

pytestmark = pytest.mark.django_db

START = datetime(2026, 6, 1, tzinfo=UTC)
RANGE = {"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z"}


@pytest.fixture
def metered(miner_a, miner_b):
    fill([miner_a, miner_b], START, START + timedelta(hours=3))
    roll_up(START, START + timedelta(hours=3))
    return miner_a


def test_energy_is_exact_and_as_the_schema_says(client, client_a, operator, site, metered):
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for user, name, of in ((client_a, "miners", metered), (operator, "sites", site)):
        client.force_login(user)
        answer = client.get(f"/api/v1/{name}/{of.pk}/energy/", RANGE | {"per": "hour"})
        check(schema, f"/api/v1/{name}/{{id}}/energy/", answer)
        rows = answer.json()["results"]
        assert len(rows) == 24
        known = [Decimal(row["kwh"]) for row in rows if row["kwh"] is not None]
        assert sum(known) == total_kwh(energy(of, START, START + timedelta(days=1)))
        assert (len(known), rows[5]["kwh"], rows[5]["source"]) == (3, None, "gap")
        chart = client.get(f"/api/v1/{name}/{of.pk}/chart/", RANGE)
        check(schema, f"/api/v1/{name}/{{id}}/chart/", chart)
        assert len(chart.json()["t"]) == 288


def test_a_buyer_does_not_see_the_sellers_hours(client, client_b, metered):
    Miner.objects.filter(pk=metered.pk).update(client=client_b)
    client.force_login(client_b)
    (day,) = client.get(f"/api/v1/miners/{metered.pk}/energy/", RANGE).json()["results"]
    assert (day["kwh"], day["source"], day["coverage"]) == (None, "gap", 0)


def test_customers_get_no_sites_figures_and_no_others_machines(client, client_a, site, metered, miner_b):
    for user, path in (
        (client_a, f"sites/{site.pk}/energy/"),
        (client_a, f"sites/{site.pk}/chart/"),
        (client_a, f"miners/{miner_b.pk}/energy/"),
        (client_a, f"miners/{miner_b.pk}/chart/"),
        (miner_b.client, f"miners/{metered.pk}/energy/"),
    ):
        client.force_login(user)
        assert client.get(f"/api/v1/{path}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"per": "year"}, "per"),
        ({"per": "hour", "from": "2026-01-01", "to": "2026-03-01"}, "from"),
        ({"from": "2026-06-02", "to": "2026-06-01"}, "from"),
        ({"to": "soon"}, "to"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(client, client_a, metered, asked, field):
    client.force_login(client_a)
    answer = client.get(f"/api/v1/miners/{metered.pk}/energy/", asked)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {field})


def test_a_chart_of_twenty_years_has_at_most_500_points(client, client_a, metered):
    client.force_login(client_a)
    chart = client.get(f"/api/v1/miners/{metered.pk}/chart/", {"from": "2010-01-01", "to": "2030-01-01"}).json()
    assert 400 < len(chart["t"]) <= 500
    assert sum(value is not None for value in chart["power_kw"]) == 1
