"""Finding machines on a site's networks, and telling which of the inventory they are.

Identity is the serial number, or where none is told the MAC; an address is a mere attribute. A known machine at a new address
keeps its row and gets the address; an unknown one is listed for adoption; another one at a known address is flagged.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import islice

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from hosting.addresses import AddressRefused, AddressRules, Network, networks_of, poll_network, rules_of
from hosting.catalogue import find_model
from hosting.cgminer.client import PollResult, Target, poll_many
from hosting.cgminer.reading import Reading
from hosting.commands.identity import Owners, clear, flag, in_words, owners_of
from hosting.commands.readings import identify_all
from hosting.control import Machine
from hosting.credentials import login_for
from hosting.models import DiscoveredMiner, FindState, Miner, MinerIdentity, MinerModel, OperationLog, Site
from hosting.services import recount_sites

CONCURRENCY = 1000
WAVE = 4096  # addresses at a time: progress is told, and finds are written, after each
TIMEOUT_S = 3.0
WAVE_DEADLINE_S = 60.0
USUAL_PORT = 4028


class NothingToScan(ValueError):
    """The site lists no networks, and none was given; or the given one is not allowed."""


class CannotAdopt(ValueError):
    """A find lacks what the inventory needs."""


@dataclass(frozen=True, slots=True)
class Find:
    """A machine that answered, and what it says of itself."""

    host: str
    port: int
    make: str | None
    model: str | None
    firmware: str | None
    serial: str | None = None
    mac: str | None = None


@dataclass(slots=True)
class Scan:
    """What a scan did. `silent` addresses gave no reading, for the reasons in `failed`."""

    site_id: int
    networks: list[str]
    addresses: int = 0
    found: int = 0
    new: int = 0
    known: int = 0
    moved: int = 0
    mismatched: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    finds: list[Find] = field(default_factory=list)


def scan_site(
    site: Site, *, network: str | None = None, progress: Callable[[int, int], None] | None = None, by: User | None = None
) -> Scan:
    """Ask every address of the site's networks, or of one of them, who is there, and bring inventory and finds up to date.

    `progress` is told the number of addresses asked and of all. Raises NothingToScan.
    """
    networks, rules = chosen_networks(site, network), rules_of(site)
    scan = Scan(site.pk, [str(one) for one in networks])
    ports = [USUAL_PORT, *sorted(set(site.poll_ports) - {USUAL_PORT})]
    total = sum(one.num_addresses for one in networks) * len(ports)
    for wave in waves(networks, ports):
        targets = [Target(host, port) for host, port in wave if rules.refusal(host, port) is None]
        results = asyncio.run(
            poll_many(targets, concurrency=CONCURRENCY, timeout_s=TIMEOUT_S, deadline_s=WAVE_DEADLINE_S)
        )
        finds = name_them(site, results)
        match(site, finds, scan, by=by)
        for result in results:
            if result.error is not None:
                scan.failed[result.error.value] = scan.failed.get(result.error.value, 0) + 1
        scan.addresses += len(wave)
        if progress is not None:
            progress(scan.addresses, total)
    return scan


def chosen_networks(site: Site, network: str | None) -> list[Network]:
    """Raises NothingToScan with the next step."""
    listed = networks_of(tuple(site.poll_networks))
    if network is None:
        if not listed:
            raise NothingToScan(f"{site.name} lists no networks: enter them at the site, or name one to scan.")
        return list(listed)
    try:
        wanted = ip_network(poll_network(network))
    except AddressRefused as refused:
        raise NothingToScan(str(refused)) from None
    if listed and not any(wanted.version == one.version and wanted.subnet_of(one) for one in listed):  # type: ignore[arg-type]  # of one version
        raise NothingToScan(f"{wanted} is outside of the networks of {site.name}: let an administrator add it there.")
    return [wanted]


def waves(networks: Sequence[Network], ports: Sequence[int]) -> Iterator[list[tuple[str, int]]]:
    """Addresses to ask, overlapping networks once."""
    seen: set[str] = set()

    def each() -> Iterator[tuple[str, int]]:
        for network in networks:
            for address in network:
                host = str(address)
                if host not in seen:
                    seen.add(host)
                    yield from ((host, port) for port in ports)

    addresses = each()
    while wave := list(islice(addresses, WAVE)):
        yield wave


def name_them(site: Site, results: Iterable[PollResult]) -> list[Find]:
    """Ask those that answered for serial number and MAC, with the login of the machine that should be there."""
    answered = [(result, result.reading) for result in results if result.reading is not None]
    rows = Miner.objects.filter(site=site, cgminer_ip__in=[result.host for result, _ in answered])
    at = {(miner.cgminer_ip, miner.cgminer_port): miner.pk for miner in rows}
    logins = login_for(at.values())
    strangers = _site_logins(site, [reading for result, reading in answered if (result.host, result.port) not in at])
    machines = []
    for number, (result, reading) in enumerate(answered):
        known = at.get((result.host, result.port))
        login = logins.get(known) if known is not None else strangers.get(str(reading.make))
        machines.append(
            Machine(
                result.host, result.port, reading.make, reading.model, reading.firmware, key=number, login=login
            )
        )
    names = asyncio.run(identify_all(machines))
    return [
        Find(result.host, result.port, reading.make, reading.model, reading.firmware, *names[number])
        for number, (result, reading) in enumerate(answered)
    ]


def _site_logins(site: Site, readings: Sequence[Reading]) -> dict[str, object]:
    raise NotImplementedError
