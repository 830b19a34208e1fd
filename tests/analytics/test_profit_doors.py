"""Pages, API and admin of profit: the farm's for staff, a customer's own for them, nothing for guests."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from analytics.generated import floor
from analytics.merit import fleet
from analytics.models import PowerContract
from analytics.profit import Scope
from hosting.models import ElectricityPrice, Site
from hosting.prices import set_price
from tests.analytics.ledger import HOUR, fill_ledger, fill_market

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def yesterday(site, miner_a, miner_b):
    """Twelve hours of two machines: each earns 0.20 $ an hour and costs 0.15 $, A at 30 J/TH and B at twice that."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    start = now - 12 * HOUR
    fill_ledger([miner_a], start, now, kwh="3", ths="100", whole=True)
    fill_ledger([miner_b], start, now, kwh="3", ths="50", whole=True)
    fill_market(start, floor(timezone.now()) + timedelta(minutes=15), hashprice="48")
    set_price(site, Decimal("0.05"), start)
    return start, now


def test_staff_see_each_customers_profit_and_a_file_that_is_no_formula(operator, site, client_a, yesterday):
    type(client_a).objects.filter(pk=client_a.pk).update(name="=cmd|'/C calc'!A0")
    staff = signed_in(operator)
    since = f"since={yesterday[0]:%Y-%m-%d}&until={yesterday[1]:%Y-%m-%d}"
    page = staff.get(f"/profit/?{since}&by=client").content.decode()
    assert "of 24 of 24 machine hours" in page
    assert ">0.6000<" in page
    reply = staff.get(f"/profit/?{since}&by=client&as=csv")
    rows = list(csv.DictReader(io.StringIO(reply.content.decode())))
    assert [row["client"] for row in rows] == ["'=cmd|'/C calc'!A0", "client-b"]
    assert [Decimal(row["profit_usd"]) for row in rows] == [Decimal("0.6"), Decimal("-0.6")]
    assert reply["Content-Type"].startswith("text/csv")


def test_a_customer_sees_their_own_earnings_alone(client_a, client_b, miner_b, yesterday):
    client = signed_in(client_a)
    since = f"since={yesterday[0]:%Y-%m-%d}&until={yesterday[1]:%Y-%m-%d}"
    page = client.get(f"/earnings/?{since}&by=miner").content.decode()
    assert "of 12 of 12 machine hours" in page
    assert ">0.6000<" in page
    assert miner_b.serial_number not in page
    assert client.get("/profit/").status_code == 404
    assert client.get("/profit/merit.json").status_code == 404
    assert b"B-0001" in signed_in(client_b).get(f"/earnings/?{since}&by=miner").content


def test_a_guest_and_staff_have_no_earnings_page(guest, operator):
    for user in (guest, operator):
        assert signed_in(user).get("/earnings/").status_code == 404
    assert signed_in(guest).get("/what-if/").status_code == 404
    assert signed_in(guest).get("/api/v1/profit/").status_code == 403
    assert Client().get("/api/v1/profit/").status_code == 401


@pytest.mark.parametrize(
    "query", ["since=2026-02-30", "since=2026-03-02&until=2026-03-01", "since=2020-01-01", "per=week", "by=x"]
)
def test_a_senseless_range_is_told_so(operator, query):
    assert signed_in(operator).get(f"/profit/?until=2026-05-01&{query}").status_code == 400


def test_the_api_tells_exact_figures_and_nothing_of_others(
    client_a, client_b, operator, site, miner_a, miner_b, yesterday
):
    client = signed_in(client_a)
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in yesterday)
    (row,) = client.get(f"/api/v1/profit/?from={start}&to={end}&by=client").json()["results"]
    assert (row["client"], row["revenue_usd"], row["cost_usd"], row["profit_usd"]) == ("client-a", 2.4, 1.8, 0.6)
    hours = client.get(f"/api/v1/profit/?from={start}&to={end}&per=hour&miner={miner_a.pk}").json()["results"]
    assert [hour["profit_usd"] for hour in hours] == [0.05] * 12
    assert (
        client.get(f"/api/v1/profit/?from={start}&to={end}&client={client_a.pk}").json()["results"][0]["profit_usd"]
        == 0.6
    )
    south = Site.objects.create(name="South")
    for foreign in (f"miner={miner_b.pk}", f"client={client_b.pk}", f"site={south.pk}"):
        assert client.get(f"/api/v1/profit/?{foreign}").status_code == 404, foreign
    staff = signed_in(operator)
    assert len(staff.get(f"/api/v1/profit/?from={start}&to={end}&by=site,client").json()["results"]) == 2
    for wrong in (
        "per=week",
        "by=pool",
        "miner=x",
        "client=x",
        "from=2010-01-01",
        "colour=red",
        f"from={end}&to={start}",
    ):
        assert staff.get(f"/api/v1/profit/?{wrong}").status_code == 400, wrong


def test_the_merit_order_puts_a_price_against_each_machine(operator, site, miner_a, miner_b, make_miner, yesterday):
    """48 $/PH/day bears 66.67 $/MWh at 30 J/TH and 33.33 at 60: at 50 $/MWh B's 3 kW are under water."""
    idle = make_miner("C-1")
    fill_ledger([idle], *yesterday, kwh="0", ths="0", whole=True)
    found = fleet(Scope.of(operator), timezone.now())
    assert [machine.serial for machine in found.machines] == ["A-0001", "B-0001"]
    assert [round(machine.break_even_usd_per_mwh, 2) for machine in found.machines] == [
        Decimal("66.67"),
        Decimal("33.33"),
    ]
    assert (found.kw, found.kw_under_water, found.kw_without_price, found.idle) == (6, 3, 0, 1)
    (line,) = found.models
    assert (line.machines, line.efficiency_j_th, round(line.break_even_usd_per_mwh, 2)) == (2, 40, 50)
    chart = signed_in(operator).get("/profit/merit.json").json()
    assert chart["kw"] == [0, 3, 6]
    assert chart["prices"] == [{"site": "North", "usd_per_mwh": 50}]
    ElectricityPrice.objects.update(currency="EUR")
    euro = fleet(Scope.of(operator), timezone.now())
    assert (euro.kw_under_water, euro.kw_without_price) == (0, 6)
    assert "no USD price" in signed_in(operator).get("/profit/").content.decode()


def test_what_if_starts_with_the_newest_snapshot_and_computes(client_a, operator):
    client = signed_in(client_a)
    assert "What if" in client.get("/what-if/").content.decode()
    query = (
        "hashrate_ths=100&power_w=3000&power_price_usd_per_mwh=50&btc_price_usd=100000&difficulty_t=100&subsidy_btc=3.125"
        "&fees_btc=0&difficulty_growth_percent=0&pool_fee_percent=0&months=24&machine_price_usd=817.70"
    )
    page = client.get(f"/what-if/?{query}").content.decode()
    assert "81.77" in page
    assert "10.0 <small>months" in page
    assert client.get("/what-if/?hashrate_ths=lots").status_code == 400
    for huge in ("btc_price_usd=1e999", "months=9999999", "hashrate_ths=NaN"):
        assert client.get(f"/what-if/?{query}&{huge}").status_code == 400


def test_a_tariff_saved_in_the_admin_writes_its_prices_and_refuses_double_hours(admin, site):
    staff = signed_in(admin)
    form = {
        "site": site.pk,
        "kind": "tariff",
        "zone": "",
        "price_per_kwh": "0.08",
        "currency": "USD",
        "starts_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "bands-TOTAL_FORMS": "2",
        "bands-INITIAL_FORMS": "0",
        "bands-0-weekdays": "mon-fri",
        "bands-0-from_hour": "22",
        "bands-0-until_hour": "6",
        "bands-0-price_per_kwh": "0.03",
        "bands-1-weekdays": "sat",
        "bands-1-from_hour": "5",
        "bands-1-until_hour": "8",
        "bands-1-price_per_kwh": "0.02",
    }
    page = staff.post("/admin/analytics/powercontract/add/", form)
    assert "Two bands are about sat 5:00" in page.content.decode()
    assert not PowerContract.objects.exists()
    assert not ElectricityPrice.objects.exists()
    staff.post("/admin/analytics/powercontract/add/", form | {"bands-1-weekdays": "sun"})
    assert set(ElectricityPrice.objects.values_list("price_per_kwh", flat=True)) >= {Decimal("0.08"), Decimal("0.03")}
    assert ElectricityPrice.objects.order_by("valid_from").first().valid_from.hour == 0
