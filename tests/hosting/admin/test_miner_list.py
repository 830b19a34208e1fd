"""The list of machines, its bulk edits and its form."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting.models import Miner, MinerModel, OperationLog, Site
from tests.hosting.admin.conftest import MINERS, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def south(db):
    return Site.objects.create(name="South")


def log_of(miner):
    return [(entry.operation, entry.details, entry.performed_by) for entry in miner.operations.order_by("id")]


def shown(response):
    return [miner.serial_number for miner in response.context["cl"].result_list]


def test_the_list_shows_the_present_and_no_stale_number(desk, read, miner_a, miner_b):
    read(miner_a, power_estimated=True)
    read(miner_b, minutes=12, hashrate_ths="98.7")
    text = text_of(desk.get(MINERS))
    assert "A-0001 Bitmain S19 Pro North client-a Active 110.6 3,250 est. 71" in text
    assert "B-0001 Bitmain S19 Pro North client-b Active – – – 12 min ago" in text
    assert "98.7" not in text


def test_the_list_costs_the_same_queries_for_one_machine_and_for_many(desk, make_miner, client_a, read):
    desk.get(MINERS)  # warms what is remembered per process

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert desk.get(MINERS).status_code == 200
        return len(captured)

    read(make_miner("Q-00", client=client_a))
    one = queries()
    for number in range(1, 40):
        read(make_miner(f"Q-{number:02}", client=client_a))
    assert queries() == one <= 10


@pytest.mark.parametrize("words", ["A-0001", "127.20.0.1", "client-a@farm"])
def test_machines_are_found_by_serial_address_and_customer(desk, miner_a, miner_b, words):
    assert shown(desk.get(MINERS, {"q": words})) == ["A-0001"]


def test_machines_are_filtered(desk, miner_a, miner_b, south, catalogue):
    Miner.objects.filter(pk=miner_b.pk).update(
        status="offline", site=south, miner_model=catalogue.get(name="M60"), cgminer_enabled=False
    )
    for query in (
        {"status__exact": "offline"},
        {"site__id__exact": south.pk},
        {"miner_model__id__exact": catalogue.get(name="M60").pk},
        {"manufacturer": "MicroBT"},
        {"client__id__exact": miner_b.client_id},
        {"cgminer_enabled__exact": "0"},
    ):
        assert shown(desk.get(MINERS, query)) == ["B-0001"], query


def test_maintenance_takes_active_and_offline_machines_and_says_who_did_it(act, operator, make_miner):
    up, down = make_miner("M-1"), make_miner("M-2", status="offline")
    curtailed = make_miner("M-3", status="curtailed")
    messages, _ = act("to_maintenance", up, down, curtailed)
    assert messages == ["2 machines in maintenance now. 1 left as it was: neither active nor offline."]
    assert list(Miner.objects.values_list("status", flat=True)) == ["maintenance", "maintenance", "curtailed"]
    assert log_of(up) == log_of(down) == [("maintenance", None, operator)]
    assert log_of(curtailed) == []


def test_only_machines_in_maintenance_come_back_to_active(act, operator, make_miner):
    resting, curtailed = make_miner("M-1", status="maintenance"), make_miner("M-2", status="curtailed")
    act("to_active", resting, curtailed)
    assert list(Miner.objects.values_list("status", flat=True)) == ["active", "curtailed"]
    assert log_of(resting) == [("activate", None, operator)]
    assert log_of(curtailed) == []


def test_a_bulk_edit_keeps_the_counts_of_the_site_right(act, site, make_miner):
    first, _second = make_miner("M-1"), make_miner("M-2")
    act("to_maintenance", first)
    site.refresh_from_db()
    assert (site.total_miners, site.active_miners) == (2, 1)


def test_reading_starts_only_where_there_is_an_address(act, operator, make_miner):
    known = make_miner("M-1", cgminer_ip="127.20.0.9")
    unknown = make_miner("M-2")
    messages, _ = act("reading_on", known, unknown)
    assert messages == ["1 machine read every minute now. 1 left as it was: read already or without an IP address."]
    assert list(Miner.objects.values_list("cgminer_enabled", flat=True)) == [True, False]
    act("reading_off", known, unknown)
    assert list(Miner.objects.values_list("cgminer_enabled", flat=True)) == [False, False]
    assert log_of(known) == [("reading on", None, operator), ("reading off", None, operator)]
    assert log_of(unknown) == []


def test_a_move_asks_where_to_and_then_moves(act, operator, south, miner_a, miner_b):
    site = miner_a.site
    _, question = act("move_to_site", miner_a, miner_b)
    assert "2 machines: A-0001, B-0001" in text_of(question)
    miner_a.refresh_from_db()
    assert miner_a.site == site
    messages, _ = act("move_to_site", miner_a, miner_b, site=south.pk, apply="1")
    assert messages == ["2 machines at South now."]
    assert set(Miner.objects.values_list("site__name", flat=True)) == {"South"}
    assert log_of(miner_a) == [("move", "to South", operator)]
    site.refresh_from_db()
    south.refresh_from_db()
    assert (site.total_miners, south.total_miners, south.active_miners) == (0, 2, 2)


def test_a_move_onto_a_taken_address_moves_nothing_and_names_the_machine(act, south, site, miner_a, make_miner):
    make_miner("S-1", site=south, cgminer_ip="127.20.0.1")
    free = make_miner("A-0002", cgminer_ip="127.20.0.77")
    _, page = act("move_to_site", miner_a, free, site=south.pk, apply="1")
    assert "South has another machine at the address of A-0001 (127.20.0.1:4028)" in text_of(page)
    assert set(Miner.objects.filter(pk__in=[miner_a.pk, free.pk]).values_list("site__name", flat=True)) == {"North"}
    assert not OperationLog.objects.exists()


def test_machines_are_assigned_to_a_customer_and_taken_back(act, operator, client_b, miner_a):
    messages, _ = act("assign_to_client", miner_a, client=client_b.pk, apply="1")
    assert messages == ["1 machine with client-b now."]
    act("assign_to_client", miner_a, client="", apply="1")
    miner_a.refresh_from_db()
    assert miner_a.client is None
    assert log_of(miner_a) == [
        ("assign", "to client-b@farm.example", operator),
        ("assign", "to nobody", operator),
    ]


def test_no_machine_is_assigned_to_staff(act, owner, client_a, miner_a):
    _, page = act("assign_to_client", miner_a, client=owner.pk, apply="1")
    assert "Select a valid choice" in text_of(page)
    miner_a.refresh_from_db()
    assert miner_a.client == client_a


def test_all_of_a_filtered_list_is_edited_at_once(desk, make_miner):
    for number in range(120):
        make_miner(f"M-{number:03}", status="offline" if number % 2 else "active")
    some = Miner.objects.filter(status="offline").first()
    desk.post(
        f"{MINERS}?status__exact=offline",
        {"action": "to_maintenance", "select_across": "1", "_selected_action": [some.pk]},
    )
    assert Miner.objects.filter(status="maintenance").count() == 60
    assert Miner.objects.filter(status="active").count() == 60
    assert OperationLog.objects.filter(operation="maintenance").count() == 60


def test_the_status_is_no_field_of_the_form(desk, miner_a):
    form = desk.get(f"{MINERS}{miner_a.pk}/change/").context["adminform"].form
    assert "status" not in form.fields
    assert {"serial_number", "site", "client", "cgminer_ip"} <= set(form.fields)


def miner_form(miner, **changed):
    return {
        "serial_number": miner.serial_number,
        "miner_model": miner.miner_model_id or "",
        "site": miner.site_id or "",
        "client": miner.client_id or "",
        "cgminer_ip": miner.cgminer_ip or "",
        "cgminer_port": miner.cgminer_port,
        "cgminer_enabled": "on" if miner.cgminer_enabled else "",
        "purchase_date": "",
        "warranty_expiry": "",
        **changed,
    }


def test_an_edited_machine_leaves_a_line_and_keeps_the_status_that_the_collector_gave(
    desk, operator, miner_a, south, monkeypatch
):
    from hosting.admin.inventory import MinerAdmin

    save = MinerAdmin.save_model

    def collector_comes_first(self, request, obj, form, change):
        Miner.objects.filter(pk=obj.pk).update(status="offline")
        save(self, request, obj, form, change)

    monkeypatch.setattr(MinerAdmin, "save_model", collector_comes_first)
    response = desk.post(f"{MINERS}{miner_a.pk}/change/", miner_form(miner_a, site=south.pk, cgminer_port="4029"))
    assert response.status_code == 302
    miner_a.refresh_from_db()
    assert (miner_a.site, miner_a.cgminer_port, miner_a.status) == (south, 4029, "offline")
    assert log_of(miner_a) == [("changed", "site, cgminer_port", operator)]


def test_two_machines_of_a_site_cannot_have_one_address(desk, miner_a, miner_b):
    response = desk.post(f"{MINERS}{miner_a.pk}/change/", miner_form(miner_a, cgminer_ip="127.20.0.2"))
    errors = str(response.context["adminform"].form.errors)
    assert "Another machine of this site has this IP and port." in errors
    miner_a.refresh_from_db()
    assert miner_a.cgminer_ip == "127.20.0.1"


def test_an_added_machine_counts_at_its_site(desk, site, catalogue):
    blank = Miner(serial_number="N-1", site=site, miner_model=catalogue[0])
    assert desk.post(f"{MINERS}add/", miner_form(blank)).status_code == 302
    site.refresh_from_db()
    assert (site.total_miners, Miner.objects.get().status) == (1, "active")


def test_an_operator_looks_at_the_catalogue_and_changes_nothing_there(desk, catalogue):
    model = catalogue.get(name="S21")
    assert desk.get("/admin/hosting/minermodel/").status_code == 200
    assert desk.post(f"/admin/hosting/minermodel/{model.pk}/change/", {"name": "S99"}).status_code == 403
    assert desk.get("/admin/hosting/minermodel/add/").status_code == 403
    assert MinerModel.objects.filter(name="S21").exists()


def test_the_efficiency_of_a_new_model_is_computed_when_left_empty(client, owner):
    client.force_login(owner)
    form = {"name": "X1", "manufacturer": "Acme", "hashrate": "200", "power_consumption": "3500", "efficiency": ""}
    form |= {"warn_chip_c": 85, "critical_chip_c": 95, "warn_board_c": 75, "critical_board_c": 85}
    assert client.post("/admin/hosting/minermodel/add/", form).status_code == 302
    assert str(MinerModel.objects.get(name="X1").efficiency) == "17.5000"
