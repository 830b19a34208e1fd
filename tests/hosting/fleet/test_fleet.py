"""Finding machines on the fleet page, and acting on many."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting.fleet import pages
from hosting.fleet.search import SEARCHED, FleetQuery
from hosting.models import Alert, Miner, MinerLatest, OperationLog, SavedView, Site
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_SIZE", 3)


def read(site, *readings, minutes_ago=0) -> None:
    rows = [
        Row(miner.pk, miner.client_id, None, rate * 100, rate * 100, 100 * degrees, 100 * watts)
        for miner, rate, degrees, watts in readings
    ]
    store_sweep(SweepFacts(site.pk, database_minute() - timedelta(minutes=minutes_ago), {}, 1.0, 0.1), rows)


def shown(desk, query="") -> list[str]:
    answer = desk.get(f"/fleet/?{query}")
    assert answer.status_code == 200, query
    return re.findall(r'aria-label="Choose ([^"]+)"', answer.content.decode())


def walk(desk, query) -> list[str]:
    """Serials of every page, by following Next."""
    found, address = [], f"/fleet/?{query}"
    while address:
        html = desk.get(address).content.decode()
        found += re.findall(r'aria-label="Choose ([^"]+)"', html)
        following = re.search(r'href="(/fleet/[^"]*after=[^"]*)"', html)
        address = following and following[1].replace("&amp;", "&")
    return found


def test_customers_and_guests_find_no_fleet_page(client, client_a, guest, miner_a):
    for person in (client_a, guest):
        client.force_login(person)
        assert client.get("/fleet/").status_code == 404
        assert client.post("/fleet/act/", {"verb": "maintenance", "miner": miner_a.pk}).status_code == 404
        assert client.post("/fleet/views/", {"name": "mine"}).status_code == 404
    assert Miner.objects.get(pk=miner_a.pk).status == "active"


def test_each_filter_narrows(desk, site, make_miner, catalogue, client_a):
    south = Site.objects.create(name="South")
    make_miner("X-1", status="offline", client=client_a, cgminer_ip="127.30.7.1")
    make_miner("Y-2", site=south, miner_model=catalogue.get(name="M50"))
    assert shown(desk) == ["X-1", "Y-2"]
    model = catalogue.get(name="M50").pk
    for query, expected in (
        ("q=y-", ["Y-2"]),
        ("q=127.30.7.", ["X-1"]),
        ("status=offline", ["X-1"]),
        (f"site={south.pk}", ["Y-2"]),
        (f"client={client_a.pk}", ["X-1"]),
        ("client=none", ["Y-2"]),
        (f"model={model}", ["Y-2"]),
        ("make=MicroBT", ["Y-2"]),
        ("make=MicroBT&status=offline", []),
    ):
        assert shown(desk, query) == expected, query


def test_the_worker_is_found_where_readings_tell_it(desk, site, make_miner):
    if "latest__pool_worker" not in SEARCHED:
        pytest.skip("readings do not tell the worker yet")
    miner = make_miner("W-1")
    make_miner("W-2")
    read(site, (miner, 100, 60, 3000))
    MinerLatest.objects.update(pool_worker="farm.rig7")
    assert shown(desk, "q=RIG7") == ["W-1"]


def test_a_rack_narrows_and_retired_machines_are_not_there(desk, site, make_miner):
    from hosting.models import Building, Rack

    rack = Rack.objects.create(building=Building.objects.create(site=site, name="Hall 1"), name="R1")
    make_miner("R-1", rack=rack, slot=1)
    make_miner("R-2")
    make_miner("R-3", retired_at=database_minute())
    assert shown(desk, f"rack={rack.pk}") == ["R-1"]
    assert shown(desk) == ["R-1", "R-2"]


@pytest.mark.parametrize(
    "query",
    [
        *(
            "status=x",
            "site=abc",
            "rack=x",
            "site=99999999999",
            "client=1",
            "model=%00",
            "alert=x",
            "sort=password",
            "q=%00",
        ),
        *(
            "after=x",
            "after=W10",
            "after=WyJOYU4iLDFd",
            "sort=hashrate&after=WyJOYU4iLDFd",
            "sort=seen&after=WyJ4IiwxXQ",
        ),
        "sort=efficiency&after=WyIxZTk5OTk5OSIsMV0",
    ],
)
def test_nonsense_in_the_address_is_no_error(desk, miner_a, query):
    assert desk.get(f"/fleet/?{query}").status_code == 200


def test_the_chips_count_what_else_the_filter_finds(desk, make_miner):
    for number, status in enumerate(("active", "active", "offline", "maintenance")):
        make_miner(f"C-{number}", status=status)
    make_miner("D-1", status="curtailed")
    context = desk.get("/fleet/?q=C-&status=offline").context
    assert [(chip["label"], chip["count"], chip["on"]) for chip in context["chips"]] == [
        ("All", 4, False),
        ("Active", 2, False),
        ("Offline", 1, True),
        ("Maintenance", 1, False),
        ("Curtailed", 0, False),
        ("With an alert", 0, False),
    ]
    assert context["total"] == 1


def test_machines_with_an_alert_and_those_of_a_sites_alert(desk, site, make_miner, alert_rules):
    rule = alert_rules.get(kind="offline")
    now = database_minute()
    plain = {
        "rule": rule,
        "kind": "offline",
        "severity": "critical",
        "site": site,
        "opened_at": now,
        "last_seen_at": now,
    }
    dark = Alert.objects.create(**plain, evidence="2 of 4 machines", machines=2)
    for number in range(4):
        miner = make_miner(f"E-{number}")
        if number:
            Alert.objects.create(
                **plain, miner=miner, evidence="no reading", suppressed_by=dark if number > 1 else None
            )
    assert shown(desk, "alert=any") == ["E-1", "E-2", "E-3"]
    assert shown(desk, f"alert={dark.pk}") == ["E-2", "E-3"]
    assert shown(desk, f"alert={Alert.objects.get(miner__serial_number='E-1').pk}") == ["E-1"]


def test_every_order_walks_every_machine_once_and_the_unknown_comes_last(desk, site, make_miner, small_pages):
    many = [make_miner(f"M-{number}") for number in range(8)]
    stale = make_miner("S-1")
    make_miner("N-1")  # never read
    read(site, (stale, 500, 90, 1000), minutes_ago=9)
    # Two have the same figures, one hashes nothing.
    figures = [
        (100, 60, 3000),
        (110, 61, 3000),
        (110, 61, 3000),
        (0, 40, 50),
        (90, 70, 3300),
        (95, 65, 2800),
        (120, 55, 3100),
        (80, 75, 3200),
    ]
    read(site, *[(miner, *figure) for miner, figure in zip(many, figures, strict=True)])
    by_rate = ["M-3", "M-7", "M-4", "M-5", "M-0", "M-1", "M-2", "M-6"]
    assert walk(desk, "sort=hashrate") == [*by_rate, "S-1", "N-1"]
    assert walk(desk, "sort=-hashrate") == ["M-6", "M-1", "M-2", "M-0", "M-5", "M-4", "M-7", "M-3", "S-1", "N-1"]
    assert walk(desk, "sort=efficiency") == ["M-6", "M-1", "M-2", "M-5", "M-0", "M-4", "M-7", "M-3", "S-1", "N-1"]
    assert walk(desk, "sort=-temperature")[:3] == ["M-7", "M-4", "M-5"]
    assert walk(desk, "sort=seen") == ["S-1", *(miner.serial_number for miner in many), "N-1"]
    assert walk(desk, "sort=-serial") == ["S-1", "N-1", *(f"M-{number}" for number in range(7, -1, -1))]


def test_a_choice_is_asked_about_and_then_done(desk, operator, make_miner):
    first, second, third = (make_miner(f"M-{number}") for number in range(3))
    asked = desk.post("/fleet/act/", {"verb": "maintenance", "miner": [first.pk, second.pk], "query": "q=M-"})
    assert "M-0, M-1" in asked.content.decode()
    assert Miner.objects.filter(status="maintenance").count() == 0
    form = {
        "verb": "maintenance",
        "miner": [first.pk, second.pk],
        "query": "q=M-&evil=1",
        "count": 2,
        "confirmed": 1,
        "reason": "fans",
    }
    done = desk.post("/fleet/act/", form, follow=True)
    assert done.redirect_chain == [("/fleet/?q=M-", 302)]
    assert "2 machines in maintenance now." in done.content.decode()
    assert set(OperationLog.objects.values_list("miner", "details", "performed_by")) == {
        (first.pk, "fans", operator.pk),
        (second.pk, "fans", operator.pk),
    }
    assert Miner.objects.get(pk=third.pk).status == "active"


def test_all_that_match_are_those_that_matched_when_it_was_asked(desk, make_miner, small_pages):
    for number in range(7):
        make_miner(f"M-{number}")
    make_miner("Z-1")
    form = {"verb": "maintenance", "across": 1, "query": "q=M-"}
    assert desk.post("/fleet/act/", form).context["count"] == 7
    make_miner("M-9")
    changed = desk.post("/fleet/act/", form | {"confirmed": 1, "count": 7})
    assert "it is 8 now" in changed.content.decode()
    assert Miner.objects.filter(status="maintenance").count() == 0
    desk.post("/fleet/act/", form | {"confirmed": 1, "count": 8})
    assert set(Miner.objects.exclude(status="maintenance").values_list("serial_number", flat=True)) == {"Z-1"}


def test_a_move_to_a_site_with_a_twin_is_refused_with_the_reason(desk, site, make_miner):
    south = Site.objects.create(name="South")
    here = make_miner("H-1", cgminer_ip="127.30.0.1")
    make_miner("T-1", site=south, cgminer_ip="127.30.0.1")
    form = {"verb": "move", "miner": here.pk, "count": 1, "confirmed": 1}
    assert "This field is required" in desk.post("/fleet/act/", form).content.decode()
    refused = desk.post("/fleet/act/", form | {"site": south.pk}).content.decode()
    assert "South has another machine at the address of H-1" in refused
    assert Miner.objects.get(pk=here.pk).site == site


def test_machines_are_given_to_a_client(desk, miner_b, client_a, client_b):
    form = {"verb": "assign", "miner": miner_b.pk, "count": 1, "confirmed": 1}
    desk.post("/fleet/act/", form | {"client": client_a.pk})
    assert Miner.objects.get(pk=miner_b.pk).client == client_a
    desk.post("/fleet/act/", form | {"client": ""})
    assert Miner.objects.get(pk=miner_b.pk).client is None


def test_staff_of_one_site_act_there_alone(desk, operator, admin, site, make_miner):
    from accounts.services import limit_to_sites

    south = Site.objects.create(name="South")
    here, there = make_miner("H-1"), make_miner("T-1", site=south)
    limit_to_sites(operator, [site.pk], by=admin)
    assert shown(desk) == ["H-1"]
    both = {"verb": "maintenance", "miner": [here.pk, there.pk], "count": 1, "confirmed": 1}
    desk.post("/fleet/act/", both)
    assert dict(Miner.objects.values_list("serial_number", "status")) == {"H-1": "maintenance", "T-1": "active"}
    moved = desk.post("/fleet/act/", {"verb": "move", "miner": here.pk, "count": 1, "confirmed": 1, "site": south.pk})
    assert "Select a valid choice" in moved.content.decode()


@pytest.mark.parametrize("form", [{"verb": "explode"}, {"verb": ""}, {}])
def test_an_unknown_verb_is_not_there(desk, miner_a, form):
    assert desk.post("/fleet/act/", form | {"miner": miner_a.pk}).status_code == 404


def test_nothing_chosen_is_told(desk, miner_a):
    answer = desk.post("/fleet/act/", {"verb": "maintenance", "query": "q=A"}, follow=True)
    assert "No machine was chosen" in answer.content.decode()


def test_views_are_kept_shared_and_forgotten(desk, client, operator, admin, miner_a):
    desk.post("/fleet/views/", {"name": "  Silent ones ", "query": "status=offline&sort=-seen&evil=1&after=x"})
    view = SavedView.objects.get()
    assert (view.name, view.query, view.is_shared) == ("Silent ones", "status=offline&sort=-seen", False)
    desk.post("/fleet/views/", {"name": "Silent ones", "query": "status=offline", "is_shared": "on"})
    assert SavedView.objects.get().query == "status=offline"
    assert "Give the view a name" in desk.post("/fleet/views/", {"name": " "}, follow=True).content.decode()

    client.force_login(admin)
    html = client.get("/fleet/").content.decode()
    assert 'href="/fleet/?status=offline">Silent ones</a>' in html
    assert client.post(f"/fleet/views/{view.pk}/delete/").status_code == 404
    SavedView.objects.update(is_shared=False)
    assert "Silent ones" not in client.get("/fleet/").content.decode()
    client.force_login(operator)
    client.post(f"/fleet/views/{view.pk}/delete/")
    assert SavedView.objects.count() == 0


def test_hostile_text_is_shown_as_text(desk, make_miner):
    make_miner("<script>alert(1)</script>")
    desk.post("/fleet/views/", {"name": "<img src=x>", "query": "q=<b>"})
    html = desk.get("/fleet/?q=<script>").content.decode()
    assert "<script>alert(1)" not in html
    assert "<img src=x>" not in html


def test_the_page_costs_the_same_queries_however_many_machines(desk, site, make_miner, client_a):
    def cost(query="") -> int:
        desk.get("/fleet/")  # the badge's count is kept for a while
        with CaptureQueriesContext(connection) as captured:
            assert desk.get(f"/fleet/?{query}").status_code == 200
        return len(captured)

    read(site, (make_miner("M-0", client=client_a), 100, 60, 3000))
    few = cost(), cost("sort=-efficiency&q=M")
    many = [make_miner(f"M-{number}", client=client_a) for number in range(1, 40)]
    read(site, *[(miner, 100, 60, 3000) for miner in many], minutes_ago=1)
    assert (cost(), cost("sort=-efficiency&q=M")) == few == (10, 10)


def test_a_query_is_what_its_address_says():
    query = FleetQuery.parse({"q": " a\x00b ", "sort": "-seen", "page": "3"})
    assert query.encode() == "q=ab&sort=-seen"
    assert query.encode(q="", status="offline") == "status=offline&sort=-seen"
