"""Where MineFarm connects: hostile addresses at every door that takes one, and behind the doors."""

import json
import os
import socket
import threading
from contextlib import contextmanager
from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.urls import reverse

from hosting import addresses, services
from hosting.addresses import DEPLOYMENT, AddressRefused, AddressRules, poll_networks, rules_of
from hosting.importing import plan_import
from hosting.models import Miner, MinerLatest, Site, TelemetrySweep
from hosting.telemetry.collector import sweep_blind, sweep_site
from minefarm.env import poll_cidrs, port_ranges
from tests.farm import run_manage

PRIVATE = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
# What none may reach, in the spellings that lists forget.
HOSTILE = [
    "127.0.0.1",
    "127.0.0.53",
    "127.0.0.2",
    "127.1",
    "127.77.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "017700000001",
    "127.000.000.001",
    "localhost",
    "miner.example",
    "127.0.0.1.nip.io",
    "0.0.0.0",
    "0",
    "255.255.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "169.254.169.254",
    "169.254.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "8.8.8.8",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.5",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%lo",
    "fd00::1%lo",
    "ff02::1",
    "fec0::1",
    "fd00:ec2::254",
    "[::1]",
    "10.0.0.5/32",
    "10.0.0.5@127.0.0.1",
    "10.0.0.5 127.0.0.1",
    "10.0.0",
    "１０.0.0.5",
    "10.0.0.5\n",
    "http://10.0.0.5",
]


@pytest.fixture
def private_farm(settings):
    """The lists of a production farm."""
    settings.POLL_CIDRS = [ip_network(text) for text in PRIVATE.split(",")]
    settings.POLL_PORTS = [(4028, 4028)]


@contextmanager
def canary_on(port: int = 0):
    """A listener on 127.0.0.1 (all that a test may bind), whatever address led there."""
    visits = []
    with socket.create_server(("127.0.0.1", port)) as door:

        def watch() -> None:
            while True:
                try:
                    visitor, source = door.accept()
                except OSError:
                    return
                visits.append(source)
                visitor.close()

        threading.Thread(target=watch, daemon=True).start()
        yield door.getsockname()[1], visits


# --- the rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", HOSTILE)
def test_hostile_addresses_are_refused_with_the_next_step(private_farm, address):
    with pytest.raises(AddressRefused) as refused:
        DEPLOYMENT.check(address, 4028)
    assert len(str(refused.value)) > 30
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("address", ["10.0.3.17", "192.168.1.2", "172.31.255.254", "fd12:3::17"])
def test_private_addresses_are_where_machines_live(private_farm, address):
    assert DEPLOYMENT.check(address, 4028) == address


def test_an_address_is_kept_in_its_usual_spelling(private_farm):
    assert DEPLOYMENT.check("FD12:0003:0000::0017", 4028) == "fd12:3::17"


def test_loopback_must_be_named_and_its_first_network_by_itself(settings):
    settings.POLL_CIDRS = [ip_network("127.77.0.0/16")]
    assert DEPLOYMENT.check("127.77.0.1", 4028) == "127.77.0.1"
    assert DEPLOYMENT.refusal("127.78.0.1", 4028)
    assert "outside of MINEFARM_POLL_CIDRS" in DEPLOYMENT.refusal("10.0.0.1", 4028)
    settings.POLL_CIDRS = [ip_network("10.0.0.0/8")]
    assert "MINEFARM_POLL_CIDRS=127.0.0.1/32" in DEPLOYMENT.refusal("127.0.0.1", 4028)
    settings.POLL_CIDRS = [ip_network("127.0.0.0/8")]
    assert DEPLOYMENT.refusal("127.78.0.1", 4028) is None
    assert DEPLOYMENT.refusal("127.0.0.1", 4028) is None
    settings.POLL_CIDRS = [ip_network("127.0.0.1/32")]
    assert DEPLOYMENT.refusal("127.0.0.1", 4028) is None
    assert DEPLOYMENT.refusal("127.0.0.2", 4028)


def test_production_accepts_no_loopback_network():
    with pytest.raises(ImproperlyConfigured, match="for demos"):
        poll_cidrs(["10.0.0.0/8", "127.77.0.0/16"], production=True)
    with pytest.raises(ImproperlyConfigured, match="host bits"):
        poll_cidrs(["10.0.0.1/8"], production=False)
    with pytest.raises(ImproperlyConfigured, match="4028-4030"):
        port_ranges(["80-70"])


def test_this_host_and_the_farms_own_servers_hold_no_machine(private_farm, settings, monkeypatch):
    monkeypatch.setattr(addresses, "_interface_addresses", lambda: ["10.0.0.7"])
    monkeypatch.setattr(addresses, "_known", {})
    settings.REDIS_URL = "redis://:secret@10.0.0.8:6379/0"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "10.0.0.9"
    assert "this host itself" in DEPLOYMENT.refusal("10.0.0.7", 4028)
    assert "Redis" in DEPLOYMENT.refusal("10.0.0.8", 4028)
    assert "mail server" in DEPLOYMENT.refusal("10.0.0.9", 4028)
    assert DEPLOYMENT.refusal("10.0.0.10", 4028) is None


def test_the_kernel_tells_this_hosts_addresses():
    assert "127.0.0.1" in addresses.own_addresses()


def test_ports_are_the_usual_one_and_the_sites_own(private_farm):
    site = AddressRules("North", (), frozenset({4029}))
    assert site.refusal("10.0.0.5", 4029) is None
    assert site.refusal("10.0.0.5", 4028) is None
    assert "use 4028" in site.refusal("10.0.0.5", 22)
    with pytest.raises(AddressRefused) as refused:
        DEPLOYMENT.check("10.0.0.5", 4029)
    assert refused.value.field == "port"


def test_a_site_lists_small_networks_of_the_deployment(private_farm):
    assert poll_networks(["10.0.16.0/20", " 10.0.3.0/24", "10.0.3.0/24", ""]) == ["10.0.16.0/20", "10.0.3.0/24"]
    for wrong, told in (
        ("10.0.0.0/8", "/20 at the largest"),
        ("8.8.8.0/24", "outside of MINEFARM_POLL_CIDRS"),
        ("127.0.0.0/24", "outside of MINEFARM_POLL_CIDRS"),
        ("10.0.3.1/24", "is no network"),
        ("farm", "is no network"),
    ):
        with pytest.raises(AddressRefused, match=told):
            poll_networks([wrong])
    with pytest.raises(AddressRefused, match="at most 256"):
        poll_networks([f"10.{n // 256}.{n % 256}.0/24" for n in range(257)])


@pytest.mark.django_db
def test_an_empty_list_leaves_it_to_the_deployment_and_a_list_narrows_it(private_farm, site):
    assert rules_of(site).refusal("192.168.7.7", 4028) is None
    site.poll_networks = ["10.0.3.0/24"]
    assert rules_of(site).refusal("10.0.3.9", 4028) is None
    assert "outside of the networks of North (10.0.3.0/24)" in rules_of(site).refusal("192.168.7.7", 4028)


# --- the doors ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("address", HOSTILE)
def test_no_form_takes_a_hostile_address(private_farm, make_miner, site, address):
    miner = Miner(serial_number="H-1", site=site, cgminer_ip=address, cgminer_enabled=True)
    with pytest.raises(ValidationError) as refused:
        miner.full_clean()
    assert "cgminer_ip" in refused.value.message_dict


@pytest.mark.django_db
def test_api_admin_and_import_refuse_hostile_addresses(private_farm, client, owner, site):
    client.force_login(owner)
    for number, address in enumerate(HOSTILE):
        body = {"serial_number": f"H-{number}", "site_id": site.pk, "cgminer_ip": address, "cgminer_enabled": True}
        answer = client.post("/api/v1/miners/", json.dumps(body), content_type="application/json")
        assert answer.status_code == (201 if address.strip() == "10.0.0.5" else 400), (address, answer.content)
    assert set(Miner.objects.values_list("cgminer_ip", flat=True)) <= {"10.0.0.5"}  # a line's end is trimmed off
    Miner.objects.all().delete()
    for number, address in enumerate(HOSTILE[::3]):  # the same check as above, behind another door
        form = {
            "serial_number": f"H-{number}",
            "site": site.pk,
            "cgminer_ip": address,
            "cgminer_port": "4028",
            "cgminer_enabled": "on",
        }
        answer = client.post(reverse("admin:hosting_miner_add"), form)
        assert answer.status_code == (302 if address.strip() == "10.0.0.5" else 200), address
    assert set(Miner.objects.values_list("cgminer_ip", flat=True)) <= {"10.0.0.5"}


@pytest.mark.django_db
def test_an_import_names_each_hostile_row(private_farm, site, owner):
    hostile = [address for address in HOSTILE if not set(address) & set('\n,"')]
    rows = [f"H-{number},North,{address},yes" for number, address in enumerate(hostile)]
    plan = plan_import("\n".join(["serial_number,site,cgminer_ip,cgminer_enabled", *rows]).encode(), by=owner)
    assert {problem.row for problem in plan.problems if problem.column == "cgminer_ip"} == {
        number + 2 for number, address in enumerate(hostile) if address.strip() != "10.0.0.5"
    }
    assert plan.token == ""
    assert not Miner.objects.exists()


@pytest.mark.django_db
def test_an_import_obeys_the_sites_networks_at_no_query_per_address(
    private_farm, site, owner, django_assert_max_num_queries
):
    Site.objects.filter(pk=site.pk).update(poll_networks=["10.0.0.0/25"])
    rows = [f"H-{number},North,10.0.0.{number}" for number in range(200)]
    with django_assert_max_num_queries(12):
        plan = plan_import("\n".join(["serial_number,site,cgminer_ip", *rows]).encode(), by=owner)
    assert {problem.value for problem in plan.problems} == {f"10.0.0.{number}" for number in range(128, 200)}


@pytest.mark.django_db
def test_only_administrators_say_where_machines_may_be(private_farm, client, site, owner, operator, client_a, miner_a):
    body = json.dumps({"poll_networks": ["10.0.3.0/24"], "poll_ports": [4029]})
    url = f"/api/v1/sites/{site.pk}/"
    for person, status in ((operator, 403), (client_a, 403), (owner, 200)):
        client.force_login(person)
        assert client.patch(url, body, content_type="application/json").status_code == status, person
    site.refresh_from_db()
    assert (site.poll_networks, site.poll_ports) == (["10.0.3.0/24"], [4029])
    assert client.get(url).json()["poll_networks"] == ["10.0.3.0/24"]
    wrong = client.patch(url, json.dumps({"poll_networks": ["8.8.8.0/24"]}), content_type="application/json")
    assert "poll_networks" in wrong.json()["error"]["fields"]
    client.force_login(client_a)
    assert not {"poll_networks", "poll_ports"} & set(client.get(url).json())
    assert client.get(f"/api/v1/miners/{miner_a.pk}/").json().keys() & {"cgminer_ip", "cgminer_port"} == set()


@pytest.mark.django_db
def test_a_machine_does_not_move_to_a_site_whose_networks_lack_its_address(private_farm, make_miner, owner):
    south = Site.objects.create(name="South", poll_networks=["10.0.3.0/24"])
    miner = make_miner("M-1", cgminer_ip="10.0.4.1")
    with pytest.raises(services.AddressOutside, match=r"M-1: 10.0.4.1 is outside of the networks of South"):
        services.move_miners(Miner.objects.all(), to=south, by=owner)
    miner.refresh_from_db()
    assert miner.site.name == "North"


def test_poll_miner_obeys_the_list():
    with canary_on() as (port, visits):
        for address in (f"127.0.0.1:{port}", f"localhost:{port}"):
            done = run_manage("poll_miner", address, "--json", MINEFARM_POLL_CIDRS=PRIVATE)
            assert done.returncode == 1
            assert "error" in json.loads(done.stdout)
        assert visits == []


def test_poll_miner_reads_replies_replayed_on_this_host_where_no_list_is_given():
    with canary_on() as (port, visits):
        done = run_manage("poll_miner", f"127.0.0.1:{port}", "--json", MINEFARM_POLL_CIDRS="")
        assert json.loads(done.stdout)["online"] is False
        assert visits != []
    service = run_manage("poll_miner", f"127.0.0.1:{os.environ['REDIS_URL'].rsplit(':', 1)[1].split('/')[0]}", "--json")
    assert "Redis" in json.loads(service.stdout)["error"]


# --- behind the doors -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_row_that_slipped_in_is_never_connected_to_and_counted_apart(private_farm, site, make_miner):
    with canary_on() as (port, visits):
        make_miner("H-1", cgminer_ip="127.0.0.1", cgminer_port=port, cgminer_enabled=True)
        make_miner("H-2", cgminer_ip="localhost", cgminer_port=port, cgminer_enabled=True)
        report = sweep_site(site)
        assert report.failed == {"forbidden": 2}
        assert visits == []
    assert TelemetrySweep.objects.get().failed == {"forbidden": 2}
    assert set(MinerLatest.objects.values_list("error", flat=True)) == {"forbidden"}


@pytest.mark.django_db(transaction=True)
def test_what_a_host_remembers_of_a_site_is_checked_against_todays_list(settings, site, make_miner):
    with canary_on() as (port, visits):
        make_miner("H-1", cgminer_ip="127.0.0.1", cgminer_port=port, cgminer_enabled=True)
        assert sweep_site(site).failed != {"forbidden": 1}  # allowed in tests
        assert len(visits) >= 1
        before = len(visits)
        settings.POLL_CIDRS = [ip_network(text) for text in PRIVATE.split(",")]
        assert sweep_blind(site.pk).failed == {"forbidden": 1}
        assert len(visits) == before


def test_a_remembered_verdict_ends_with_the_list_that_it_was_of(settings):
    settings.POLL_CIDRS = [ip_network("10.0.0.0/8")]
    assert [DEPLOYMENT.judge()("10.0.0.5", None) for _ in range(2)] == [None, None]
    assert DEPLOYMENT.judge()("10.0.0.5", 4028) == DEPLOYMENT.refusal("10.0.0.5", 4028)
    settings.POLL_CIDRS = [ip_network("192.168.0.0/16")]
    assert "outside of MINEFARM_POLL_CIDRS" in DEPLOYMENT.judge()("10.0.0.5", None)
    settings.POLL_CIDRS = [ip_network("10.0.0.0/8")]
    assert DEPLOYMENT.judge()("10.0.0.5", None) is None
