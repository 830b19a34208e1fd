"""Finding machines on a site's networks, and telling which of the inventory they are.

Identity is the serial number, or where none is told the MAC; an address is a mere attribute. A known machine at a new address
keeps its row and gets the address; an unknown one is listed for adoption; another one at a known address is flagged.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network
from itertools import islice

from accounts.models import User
from hosting.addresses import AddressRefused, Network, networks_of, poll_network, rules_of
from hosting.cgminer.client import PollResult, Target, poll_many
from hosting.commands.readings import identify_all
from hosting.control import Machine
from hosting.control.factory import make_of
from hosting.credentials import login_at
from hosting.matching import Find, Scan, match
from hosting.models import Site

CONCURRENCY = 1000
WAVE = 1024  # addresses at a time: progress is told, and finds are written, after each
TIMEOUT_S = 3.0
WAVE_DEADLINE_S = 60.0
USUAL_PORT = 4028


class NothingToScan(ValueError):
    """The site lists no networks, and none was given; or the given one is not allowed."""


def scan_site(
    site: Site,
    *,
    network: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    by: User | None = None,
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
    """Ask those that answered for serial number and MAC, with the login of their make at the site."""
    answered = [(result, result.reading) for result in results if result.reading is not None]
    makes = {make_of(make=one.make, model=one.model, firmware=one.firmware) for _, one in answered}
    logins = {make: login_at(site.pk, make) for make in makes}
    machines = [
        Machine(
            result.host,
            result.port,
            one.make,
            one.model,
            one.firmware,
            key=number,
            login=logins[make_of(make=one.make, model=one.model, firmware=one.firmware)],
        )
        for number, (result, one) in enumerate(answered)
    ]
    names = asyncio.run(identify_all(machines))
    return [
        Find(result.host, result.port, one.make, one.model, one.firmware, *names[number])
        for number, (result, one) in enumerate(answered)
    ]
