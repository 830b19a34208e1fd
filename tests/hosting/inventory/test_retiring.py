"""A machine with a history leaves the farm without leaving the books."""

from datetime import date, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from hosting import services
from hosting.models import Miner, OperationLog
from hosting.summary import site_lines, summarise
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from hosting.telemetry.targets import polled_miners
from minefarm.lib.clock import database_minute
from tests.hosting.admin.conftest import MINERS

pytestmark = pytest.mark.django_db


@pytest.fixture
def old(make_miner, rack, client_a):
    return make_miner("OLD", rack=rack, slot=1, cgminer_ip="10.1.1.1", cgminer_enabled=True, client=client_a)


def only(miner):
    return Miner.objects.filter(pk=miner.pk)


def test_retiring_frees_address_and_slot_and_keeps_the_history(old, make_miner, rack, operator, site):
    assert services.retire_miners(only(old), reason="burnt", by=operator) == 1
    old.refresh_from_db()
    assert (old.rack, old.slot, old.cgminer_enabled, old.retired_reason) == (None, None, False, "burnt")
    assert OperationLog.objects.get().operation == "retire"
    site.refresh_from_db()
    assert site.total_miners == 0
    make_miner("NEW", rack=rack, slot=1, cgminer_ip="10.1.1.1", cgminer_enabled=True)
    assert services.retire_miners(only(old), by=operator) == 0
    with pytest.raises(services.AddressTaken, match="clear or change that address"):
        services.unretire_miners(only(old), by=operator)
    only(old).update(cgminer_ip="10.1.1.2")
    assert services.unretire_miners(only(old), by=operator) == 1
    old.refresh_from_db()
    assert (old.retired_at, old.status, old.cgminer_enabled) == (None, "offline", False)


def test_a_retired_machine_is_in_no_list_no_sum_and_no_sweep(client, old, operator, owner, client_a, site):
    services.retire_miners(only(old), by=operator)
    assert polled_miners(site) == []
    assert summarise(Miner.objects.all())["miners"] == 0
    assert site_lines(type(site).objects.all())[0]["total_miners"] == 0
    for person in (owner, client_a):
        client.force_login(person)
        assert "OLD" not in client.get("/miners/").text
        assert client.get("/api/v1/miners/").json()["results"] == []
        assert [row["serial_number"] for row in client.get("/api/v1/miners/?retired=true").json()["results"]] == ["OLD"]
        page = client.get(f"/miners/{old.pk}/")
        assert page.status_code == 200
        assert "Retired on" in page.text
    client.force_login(owner)
    assert "OLD" not in client.get(MINERS).text
    assert "OLD" in client.get(MINERS, {"service": "retired"}).text
    assert client.get(f"{MINERS}{old.pk}/change/").status_code == 200


def test_nothing_is_done_to_a_retired_machine(old, operator):
    services.retire_miners(only(old), by=operator)
    for verb in (services.start_reading, services.start_maintenance, services.end_maintenance):
        assert verb(only(old), by=operator) == 0
    with pytest.raises(IntegrityError, match="retired_at_rest"), transaction.atomic():
        only(old).update(cgminer_enabled=True)


def test_a_curtailed_machine_is_not_retired(old, operator):
    only(old).update(status="curtailed")
    assert services.retire_miners(only(old), by=operator) == 0


def test_a_sweep_that_began_before_does_not_bring_it_back(old, operator, site):
    minute = database_minute()
    services.retire_miners(only(old), by=operator)
    store_sweep(SweepFacts(site.pk, minute, {}, 1.0, 0.1), [Row(old.pk, None, None, hashrate_centi_ths=11_000)])
    old.refresh_from_db()
    assert old.status == "offline"
    site.refresh_from_db()
    assert site.total_miners == 0


def test_the_api_retires_and_takes_back_by_right(client, old, operator, client_a, make_miner):
    client.force_login(client_a)
    assert client.post(f"/api/v1/miners/{old.pk}/retire/", {}, "application/json").status_code in {403, 404}
    client.force_login(operator)
    answer = client.post(f"/api/v1/miners/{old.pk}/retire/", {"reason": "sold"}, "application/json")
    assert (answer.status_code, answer.json()["retired_reason"]) == (200, "sold")
    assert client.post(f"/api/v1/miners/{old.pk}/retire/", {}, "application/json").status_code == 409
    make_miner("NEW", cgminer_ip="10.1.1.1")
    assert client.post(f"/api/v1/miners/{old.pk}/unretire/", {}, "application/json").status_code == 409
    Miner.objects.filter(serial_number="NEW").delete()
    assert client.post(f"/api/v1/miners/{old.pk}/unretire/", {}, "application/json").json()["retired_at"] is None


def test_staff_retire_ticked_machines_with_a_reason(desk, old):
    asked = desk.post(MINERS, {"action": "retire", "_selected_action": [old.pk]})
    assert "Retire machines" in asked.text
    form = {"action": "retire", "_selected_action": [old.pk], "apply": "1", "reason": "scrapped"}
    desk.post(MINERS, form, follow=True)
    old.refresh_from_db()
    assert old.retired_reason == "scrapped"


def test_warranties_that_end_soon_are_found(desk, make_miner):
    today = timezone.now().date()
    make_miner("SOON", warranty_start=date(2024, 1, 1), warranty_expiry=today + timedelta(days=20))
    make_miner("LATER", warranty_expiry=today + timedelta(days=200))
    make_miner("OVER", warranty_expiry=today - timedelta(days=1))

    def listed(choice):
        return sorted(miner.serial_number for miner in desk.get(MINERS, {"warranty": choice}).context["cl"].result_list)

    assert listed("30") == ["SOON"]
    assert listed("365") == ["LATER", "SOON"]
    assert listed("over") == ["OVER"]
    until = (today + timedelta(days=30)).isoformat()
    found = desk.get("/api/v1/miners/", {"warranty_until": until}).json()["results"]
    assert [row["serial_number"] for row in found] == ["SOON"]
