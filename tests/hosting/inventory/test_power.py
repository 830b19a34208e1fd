"""Circuits and what they carry: by nameplate, as measured, and when it is too much."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from hosting.models import Building, Circuit, Miner, MinerLatest, Rack, Site
from hosting.power import circuit_loads
from tests.hosting.admin.conftest import text_of

pytestmark = pytest.mark.django_db


def draws(miner, watts, *, minutes=0):
    at = timezone.now() - timedelta(minutes=minutes)
    MinerLatest.objects.create(miner=miner, attempted_at=at, seen_at=at, power_w=watts)


def load_of(circuit):
    return {load.id: load for load in circuit_loads([circuit.site_id])}[circuit.pk]


def test_a_circuit_carries_what_stands_in_its_racks(make_miner, rack, feed):
    draws(make_miner("A-1", rack=rack, slot=1), 3000)
    draws(make_miner("A-2", rack=rack, slot=2), 3100, minutes=9)
    make_miner("A-3", rack=rack, slot=3, miner_model=None)
    load = load_of(feed)
    assert (load.racks, load.machines, load.without_nameplate, load.measured) == (1, 3, 1, 1)
    assert (load.nameplate_kw, load.measured_kw) == (Decimal("6.5"), Decimal(3))
    assert (load.continuous_kw, load.warning) == (Decimal(8), "")


def test_too_much_is_told_by_nameplate_and_as_measured_and_refused_by_nothing(make_miner, rack, feed):
    for slot in (1, 2, 3):
        draws(make_miner(f"A-{slot}", rack=rack, slot=slot), 2800)
    load = load_of(feed)
    assert (load.over_by_nameplate, load.over_as_measured) == (True, True)
    assert load.warning == (
        "PDU-1 is over-subscribed: 9.75 kW by nameplate and 8.40 kW measured, 8.00 kW allowed all day (80 % of 10.00 kW)."
        " Move machines, or feed the rack from another circuit."
    )
    Circuit.objects.filter(pk=feed.pk).update(continuous_percent=100)
    assert load_of(feed).warning == ""


def test_two_feeds_of_a_rack_share_its_load_and_nothing_is_counted_twice(make_miner, rack, other_rack, feed, site):
    second = Circuit.objects.create(site=site, name="PDU-2", capacity_kw=20)
    rack.circuits.add(second)
    other_rack.circuits.add(second)
    for number, where in enumerate((rack, rack, other_rack), start=1):
        draws(make_miner(f"A-{number}", rack=where, slot=number), 3000)
    assert (load_of(feed).nameplate_kw, load_of(feed).measured_kw) == (Decimal("3.25"), Decimal(3))
    assert (load_of(second).nameplate_kw, load_of(second).measured_kw) == (Decimal("6.5"), Decimal(6))
    assert (load_of(second).racks, load_of(second).machines) == (2, 3)


def test_an_empty_circuit_knows_nothing(feed):
    load = load_of(feed)
    assert (load.nameplate_kw, load.measured_kw, load.nameplate_percent, load.warning) == (None, None, None, "")


def test_a_whole_site_is_one_query(make_miner, rack, feed, django_assert_num_queries):
    for slot in range(1, 9):
        make_miner(f"A-{slot}", rack=rack, slot=slot)
    with django_assert_num_queries(1):
        assert len(circuit_loads([feed.site_id])) == 1


def test_the_sites_page_shows_the_bars(desk, make_miner, rack, feed, site):
    for slot in (1, 2, 3):
        make_miner(f"A-{slot}", rack=rack, slot=slot)
    text = text_of(desk.get(f"/sites/{site.pk}/"))
    assert "PDU-1 over-subscribed" in text
    assert "9.75 kW, 98 %" in text


# --- places -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"slot": 1}, {"rack": True}, {"rack": True, "slot": 0}, {"rack": True, "slot": 1}],
    ids=["slot alone", "rack alone", "slot 0", "taken"],
)
def test_the_database_keeps_slots_and_racks_together_and_single(make_miner, rack, wrong):
    make_miner("A-1", rack=rack, slot=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_miner("A-2", **({**wrong, "rack": rack} if "rack" in wrong else wrong))


def test_a_rack_of_another_site_is_refused_in_the_form_and_the_api(client, owner, make_miner, rack):
    south = Site.objects.create(name="South")
    miner = make_miner("A-1", site=south)
    client.force_login(owner)
    answer = client.patch(f"/api/v1/miners/{miner.pk}/", {"rack_id": rack.pk, "slot": 1}, "application/json")
    assert answer.status_code == 400
    assert "at another site" in answer.json()["error"]["fields"]["rack_id"][0]
    assert (
        client.patch(
            f"/api/v1/miners/{miner.pk}/",
            {"site_id": rack.building.site_id, "rack_id": rack.pk, "slot": 9},
            "application/json",
        ).status_code
        == 400
    )
    assert Miner.objects.get().rack is None


def test_the_api_places_machines_and_reads_loads(client, owner, make_miner, site):
    client.force_login(owner)

    def post(path, **sent):
        answer = client.post(f"/api/v1/{path}/", sent, "application/json")
        assert answer.status_code == 201, answer.content
        return answer.json()

    hall = post("buildings", name="Hall A", site_id=site.pk)
    feed = post("circuits", name="PDU-1", site_id=site.pk, capacity_kw=4)
    rack = post("racks", name="R-01", building_id=hall["id"], slots=4, circuit_ids=[feed["id"]])
    assert (rack["site_id"], rack["circuit_ids"], rack["machines"]) == (site.pk, [feed["id"]], 0)
    miner = make_miner("A-1")
    answer = client.patch(f"/api/v1/miners/{miner.pk}/", {"rack_id": rack["id"], "slot": 2}, "application/json")
    assert (answer.json()["rack_id"], answer.json()["slot"]) == (rack["id"], 2)
    (listed,) = client.get("/api/v1/circuits/", {"site": site.pk}).json()["results"]
    assert (listed["nameplate_kw"], listed["continuous_kw"], listed["measured_kw"]) == (3.25, 3.2, None)
    assert listed["warning"].startswith("PDU-1 is over-subscribed")
    south = Site.objects.create(name="South")
    foreign = Circuit.objects.create(site=south, name="PDU-9", capacity_kw=1)
    wrong = client.patch(f"/api/v1/racks/{rack['id']}/", {"circuit_ids": [foreign.pk]}, "application/json")
    assert wrong.status_code == 400
    assert client.delete(f"/api/v1/racks/{rack['id']}/").status_code == 409


def test_people_limited_to_a_site_and_customers_do_not_see_other_places(client, operator, client_a, rack, feed):
    south = Site.objects.create(name="South")
    operator.site_limits.create(site_id=south.pk)
    client.force_login(operator)
    for path in ("buildings", "racks", "circuits"):
        assert client.get(f"/api/v1/{path}/").json()["results"] == []
    assert client.get(f"/sites/{rack.building.site_id}/racks/").status_code == 404
    client.force_login(client_a)
    for path in ("buildings", "racks", "circuits"):
        assert client.get(f"/api/v1/{path}/").status_code == 403


def test_admin_pages_of_places_open_save_and_warn(client, owner, make_miner, rack, feed, hall):
    for slot in (1, 2, 3):
        make_miner(f"A-{slot}", rack=rack, slot=slot)
    client.force_login(owner)
    for name, row in (("building", hall), ("rack", rack), ("circuit", feed)):
        assert client.get(f"/admin/hosting/{name}/").status_code == 200
        assert client.get(f"/admin/hosting/{name}/{row.pk}/change/").status_code == 200
    assert "Over-subscribed" in client.get("/admin/hosting/circuit/").text
    form = {"name": "R-01", "building": hall.pk, "slots": 8, "slots_per_shelf": 4, "circuits": [feed.pk]}
    saved = client.post(f"/admin/hosting/rack/{rack.pk}/change/", form, follow=True)
    assert "PDU-1 is over-subscribed" in saved.text
    foreign = Circuit.objects.create(site=Site.objects.create(name="South"), name="PDU-9", capacity_kw=1)
    refused = client.post(f"/admin/hosting/rack/{rack.pk}/change/", form | {"circuits": [foreign.pk]})
    assert "At another site: PDU-9." in refused.text
    smaller = client.post(f"/admin/hosting/rack/{rack.pk}/change/", form | {"slots": 2})
    assert "A machine stands in slot 3" in smaller.text
    assert Rack.objects.get(pk=rack.pk).slots == 8
    assert Building.objects.count() == 1
