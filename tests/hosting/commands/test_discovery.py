"""Finding machines on a network: known, moved, swapped, new, and those that only disturb."""

import json
from ipaddress import ip_network

import pytest

from events.models import OutboxEvent
from hosting.discovery import NothingToScan, chosen_networks, scan_site, waves
from hosting.matching import CannotAdopt, adopt
from hosting.models import DiscoveredMiner, FindState, Miner, MinerIdentity, OperationLog, Site
from tests.farm import database_url, network, run_manage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(settings, monkeypatch):
    settings.MINEFARM_FACTORY_LOGINS = True
    monkeypatch.setattr("hosting.discovery.TIMEOUT_S", 1.0)


def net(number: int) -> str:
    return str(ip_network(f"{network(number)}/27", strict=False))


def states(scan):
    return {state: count for state, count in scan.states.items() if count}


def test_a_scan_knows_moves_flags_and_lists(fleet, site, operator):
    miners = fleet(20, 61, "--fault", "hang=0.05")
    site.poll_networks = [net(61)]
    site.save()
    antminers = [one for one in miners if one.miner_model.manufacturer == "Bitmain"]
    moved, gone, swapped = antminers[:3]
    Miner.objects.filter(pk=moved.pk).update(cgminer_ip="127.20.9.9")
    Miner.objects.filter(pk=gone.pk).delete()
    Miner.objects.filter(pk=swapped.pk).update(serial_number="LABEL-1")
    told = []
    scan = scan_site(site, progress=lambda asked, total: told.append((asked, total)), by=operator)
    assert told == [(32, 32)]
    assert (scan.addresses, len(scan.finds)) == (32, 19)
    assert states(scan) == {"known": 16, "moved": 1, "new": 1, "mismatch": 1}
    assert scan.failed["timeout"] == 1

    moved.refresh_from_db()
    assert moved.cgminer_ip == DiscoveredMiner.objects.get(state="moved").host
    assert moved.operations.get().details.endswith("was at 127.20.9.9:4028")
    assert moved.operations.get().performed_by == operator
    assert MinerIdentity.objects.get(miner=swapped).mismatch.startswith("serial number ASIM")
    event = OutboxEvent.objects.get(event_type="miner.identity_mismatch")
    assert event.payload["serial_number"] == "LABEL-1"
    find = DiscoveredMiner.objects.get(state="new")
    assert (find.serial, find.make) == (gone.serial_number, "Antminer")
    assert MinerIdentity.objects.filter(mac__isnull=False).count() >= 10

    assert adopt(DiscoveredMiner.objects.all(), by=operator) == 1
    adopted = Miner.objects.get(serial_number=gone.serial_number)
    assert (adopted.cgminer_ip, adopted.site, adopted.miner_model) == (find.host, site, gone.miner_model)
    assert adopted.cgminer_enabled is True
    assert adopted.operations.get().operation == "adopted"
    again = scan_site(site, by=None)
    assert states(again) == {"known": 18, "mismatch": 1}
    assert OutboxEvent.objects.filter(event_type="miner.identity_mismatch").count() == 1


def test_two_machines_that_were_swapped_swap_their_addresses_in_the_inventory(fleet, site):
    one, two = [one for one in fleet(10, 62) if one.miner_model.manufacturer == "Bitmain"][:2]
    Miner.objects.filter(pk=one.pk).update(cgminer_ip=None)
    Miner.objects.filter(pk=two.pk).update(cgminer_ip=one.cgminer_ip)
    Miner.objects.filter(pk=one.pk).update(cgminer_ip=two.cgminer_ip)
    scan = scan_site(site, network=net(62))
    assert states(scan)["moved"] == 2
    assert set(Miner.objects.filter(pk__in=[one.pk, two.pk]).values_list("pk", "cgminer_ip")) == {
        (one.pk, one.cgminer_ip),
        (two.pk, two.cgminer_ip),
    }
    assert OperationLog.objects.filter(operation="address").count() == 2


def test_a_machine_of_another_site_is_not_taken_from_it(fleet, site):
    south = Site.objects.create(name="South")
    there = next(one for one in fleet(10, 63, into=south) if one.miner_model.manufacturer == "Bitmain")
    scan = scan_site(site, network=net(63))
    assert states(scan)["moved"] >= 1
    there.refresh_from_db()
    assert there.site == south
    assert not OperationLog.objects.exists()


def test_noise_on_the_network_stops_no_scan(fleet, site):
    fleet(24, 64, "--fault", "hang=0.15", "--fault", "garbage=0.2", "--fault", "drip=0.15", "--fault", "refuse=0.1")
    scan = scan_site(site, network=net(64))
    assert len(scan.finds) == 24 - 4 - 5 - 4 - 2
    assert sum(scan.failed.values()) == 32 - len(scan.finds)


def test_only_allowed_networks_are_scanned(site, settings):
    with pytest.raises(NothingToScan, match="lists no networks"):
        scan_site(site)
    with pytest.raises(NothingToScan, match="/20 at the largest"):
        scan_site(site, network="10.0.0.0/8")
    with pytest.raises(NothingToScan, match="outside of MINEFARM_POLL_CIDRS"):
        scan_site(site, network="8.8.8.0/24")
    site.poll_networks = ["10.0.3.0/24"]
    with pytest.raises(NothingToScan, match="outside of the networks of North"):
        scan_site(site, network="10.0.4.0/24")
    assert [str(one) for one in chosen_networks(site, "10.0.3.128/25")] == ["10.0.3.128/25"]
    assert [str(one) for one in chosen_networks(site, None)] == ["10.0.3.0/24"]


def test_overlapping_networks_are_asked_once():
    found = [one for wave in waves([ip_network("10.0.3.0/24"), ip_network("10.0.3.128/25")], [4028]) for one in wave]
    assert len(found) == len(set(found)) == 256


def test_a_find_without_a_name_cannot_be_adopted(site, operator):
    DiscoveredMiner.objects.create(site=site, host="10.0.3.7", seen_at="2026-11-23T10:00Z", state=FindState.NEW)
    with pytest.raises(CannotAdopt, match="neither serial number nor MAC"):
        adopt(DiscoveredMiner.objects.all(), by=operator)
    assert not Miner.objects.exists()


@pytest.mark.storm
def test_the_command_prints_one_document(fleet, site):
    fleet(10, 65)
    done = run_manage("discover_miners", "--site", "North", "--network", net(65), "--json", DATABASE_URL=database_url())
    document = json.loads(done.stdout)
    assert (done.returncode, document["addresses"], document["found"]) == (0, 32, 10)
    assert {find["state"] for find in document["finds"]} == {"known"}
    refused = run_manage("discover_miners", "--site", "North", "--json", DATABASE_URL=database_url())
    assert refused.returncode == 1
    assert "lists no networks" in json.loads(refused.stdout)["error"]
