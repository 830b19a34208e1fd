"""Where MineFarm may connect to reach machines: the one answer for saving an address and for using it.

An address passes when it is written as a plain IP, belongs to MINEFARM_POLL_CIDRS and, where the site lists networks of its
own, to one of those, and is nothing that must never be reached: this host, its loopback, the farm's own servers, link-local
(which is where clouds keep their secrets), multicast, reserved. It is checked when somebody enters it, and again right before
connecting, for a row may have got there by another way, and lists change.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

if TYPE_CHECKING:
    from hosting.models import Site

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_NETWORKS = 256
LARGEST = {4: 20, 6: 116}  # prefix of the largest network that a site may list: 4,096 addresses
LOOPBACKS = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# Never, whatever the lists say. Forms of IPv6 that carry an IPv4 address lead around every list.
NEVER = (
    (IPv4Network("0.0.0.0/8"), "means this host"),
    (IPv4Network("169.254.0.0/16"), "is link-local"),
    (IPv4Network("224.0.0.0/4"), "is multicast"),
    (IPv4Network("240.0.0.0/4"), "is reserved"),
    (IPv6Network("::ffff:0:0/96"), "is an IPv4 address in disguise"),
    (IPv6Network("64:ff9b::/96"), "is an IPv4 address in disguise"),
    (IPv6Network("64:ff9b:1::/48"), "is an IPv4 address in disguise"),
    (IPv6Network("2002::/16"), "is an IPv4 address in disguise"),
    (IPv6Network("2001::/32"), "is an IPv4 address in disguise"),
    (IPv6Network("fe80::/10"), "is link-local"),
    (IPv6Network("fec0::/10"), "is site-local, which was given up"),
    (IPv6Network("ff00::/8"), "is multicast"),
    (IPv6Network("fd00:ec2::/32"), "is where a cloud keeps its secrets"),
    (IPv6Network("::/127"), "means this host"),
)
OWN_FOR_S = 60.0
SERVICES_FOR_S = 300.0


class AddressRefused(ValueError):
    """The address may not be connected to. The message says why and what to do; `field` is ip or port."""

    def __init__(self, message: str, *, field: str = "ip") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Where one site's machines may be. No networks: MINEFARM_POLL_CIDRS alone decides; `ports` are added to the usual ones."""

    site: str = ""
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset()
    also: tuple[Network, ...] = ()  # beside MINEFARM_POLL_CIDRS

    def check(self, host: str, port: int | None) -> str:
        """The address in its usual spelling; raises AddressRefused with the next step. Without a port any is fine."""
        address = literal(host)
        allowed = (*settings.POLL_CIDRS, *self.also)
        _refuse_never(address, port, allowed)
        if not _inside(address, allowed):
            raise AddressRefused(
                f"{address} is outside of MINEFARM_POLL_CIDRS ({_named(settings.POLL_CIDRS)}): correct the address, or let"
                " whoever runs the servers add its network there."
            )
        if self.networks and not _inside(address, self.networks):
            raise AddressRefused(
                f"{address} is outside of the networks of {self.site} ({_named(self.networks)}): correct the address, or"
                " let an administrator add its network to the site."
            )
        if (
            port is not None
            and port not in self.ports
            and not any(low <= port <= high for low, high in settings.POLL_PORTS)
        ):
            raise AddressRefused(
                f"Port {port} is no port of machines here: use 4028, or let an administrator add it to the site's ports.",
                field="port",
            )
        return str(address)

    def refusal(self, host: str, port: int | None) -> str | None:
        """Why the address may not be connected to; None when it may."""
        try:
            self.check(host, port)
        except AddressRefused as refused:
            return str(refused)
        return None

    def judge(self) -> Callable[[str, int | None], str | None]:
        """`refusal` for thousands of addresses a minute: remembered for as long as the lists and this host stay as they are."""
        state = (tuple(settings.POLL_CIDRS), tuple(settings.POLL_PORTS), own_addresses(), service_addresses())
        verdicts = _verdicts(self, state)

        def refusal(host: str, port: int | None) -> str | None:
            try:
                return verdicts[host, port]
            except KeyError:
                verdicts[host, port] = self.refusal(host, port)
                return verdicts[host, port]

        return refusal


@lru_cache(maxsize=64)
def _verdicts(_rules: AddressRules, _state: tuple[object, ...]) -> dict[tuple[str, int | None], str | None]:
    """As many as there are machines: dropped with their lists."""
    return {}


DEPLOYMENT = AddressRules()  # what holds where no site is known


def rules_of(site: "Site | None") -> AddressRules:
    """The site's rules; those of the deployment for machines that are nowhere."""
    if site is None:
        return DEPLOYMENT
    return AddressRules(site.name, networks_of(tuple(site.poll_networks)), frozenset(site.poll_ports))


@lru_cache(maxsize=1024)
def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def literal(text: str) -> Address:
    """The address that the text spells plainly; raises AddressRefused for names, numbers and other disguises."""
    try:
        address = ip_address(text)
    except ValueError:
        raise AddressRefused(f"{text[:60]!r} is no IP address: write it as 10.0.3.17 or fd00:3::17.") from None
    if "%" in text:
        raise AddressRefused(f"{text[:60]!r} names an interface of this host: leave out the part from % on.")
    if isinstance(address, IPv6Address) and "." in text:
        raise AddressRefused(f"{text[:60]!r} is an IPv4 address in disguise: write the IPv4 address itself.")
    return address


def poll_network(text: str) -> str:
    """A network that a site may list, in its usual spelling; raises AddressRefused with what is wrong."""
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise AddressRefused(f"{text[:60]!r} is no network: write it as 10.0.3.0/24.") from None
    if network.prefixlen < LARGEST[network.version]:
        raise AddressRefused(
            f"{network} has more than 4,096 addresses: list smaller networks, /{LARGEST[network.version]} at the largest."
        )
    if not any(_contains(allowed, network) for allowed in settings.POLL_CIDRS):
        raise AddressRefused(
            f"{network} is outside of MINEFARM_POLL_CIDRS ({_named(settings.POLL_CIDRS)}): let whoever runs the servers add"
            " it there first."
        )
    if any(_contains(never, network) for never, _ in NEVER):
        raise AddressRefused(f"{network} can hold no machines: list networks that do.")
    return str(network)


def poll_networks(texts: Sequence[str]) -> list[str]:
    """A site's list, each network once; raises AddressRefused."""
    if len(texts) > MAX_NETWORKS:
        raise AddressRefused(f"{len(texts)} networks are too many: list at most {MAX_NETWORKS}.")
    return list(dict.fromkeys(poll_network(text) for text in texts if text.strip()))


def _refuse_never(address: Address, port: int | None, allowed: Sequence[Network]) -> None:
    for network, why in NEVER:
        if address in network:
            raise AddressRefused(f"{address} {why}; no machine is there. Enter the machine's own address.")
    if address in LOOPBACKS[0] or address in LOOPBACKS[1]:
        _refuse_loopback(address, port, allowed)
        return
    if str(address) in own_addresses():
        raise AddressRefused(f"{address} is this host itself; no machine is there. Enter the machine's own address.")
    if any(str(address) == host for host, _ in service_addresses()):
        raise AddressRefused(
            f"{address} is where PostgreSQL, Redis or the mail server is; no machine is there. Enter the machine's own"
            " address."
        )


def _refuse_loopback(address: Address, port: int | None, allowed: Sequence[Network]) -> None:
    """Simulated machines live on loopback networks that are named in MINEFARM_POLL_CIDRS; production accepts none."""
    networks = [network for network in allowed if network.is_loopback]
    if not _inside(address, networks):
        raise AddressRefused(
            f"{address} is this host's own loopback; no machine is there. For a simulated one, outside of production, start"
            f" MineFarm with MINEFARM_POLL_CIDRS={address}/32."
        )
    if any(port == taken for _, taken in service_addresses()):
        raise AddressRefused(f"Port {port} of {address} is PostgreSQL's, Redis' or the mail server's.", field="port")


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _contains(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # both of one version


def _named(networks: Sequence[Network], at_most: int = 6) -> str:
    shown = ", ".join(str(network) for network in networks[:at_most])
    return shown + (", …" if len(networks) > at_most else "") if shown else "empty"


# --- what this host is ----------------------------------------------------------------------------------------------------


_known: dict[str, tuple[float, frozenset[object]]] = {}


def own_addresses() -> frozenset[str]:
    """The addresses of this host's interfaces, looked up once a minute."""
    now = monotonic()
    until, found = _known.get("own", (0.0, frozenset()))
    if now >= until:
        found = frozenset(_interface_addresses())
        _known["own"] = (now + OWN_FOR_S, found)
    return found  # type: ignore[return-value]  # filled above with text


def service_addresses() -> frozenset[tuple[str, int]]:
    """Address and port of PostgreSQL, Redis and the mail server, looked up every five minutes."""
    now = monotonic()
    places = tuple(_service_places())
    until, found = _known.get(repr(places), (0.0, frozenset()))
    if now >= until:
        found = frozenset((address, port) for host, port in places for address in _resolve(host))
        _known[repr(places)] = (now + SERVICES_FOR_S, found)
    return found  # type: ignore[return-value]  # filled above with pairs


def _service_places() -> Iterable[tuple[str, int]]:
    for database in settings.DATABASES.values():
        host = str(database.get("HOST") or "")
        if host and not host.startswith("/"):
            yield host, int(database.get("PORT") or 5432)
    redis = urlsplit(settings.REDIS_URL or "")
    if redis.hostname:
        yield redis.hostname, redis.port or 6379
    if settings.EMAIL_BACKEND.endswith("smtp.EmailBackend") and settings.EMAIL_HOST:
        yield str(settings.EMAIL_HOST), int(settings.EMAIL_PORT or 25)


def _resolve(host: str) -> set[str]:
    try:
        return {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:  # a name that leads nowhere now cannot be connected to either
        return set()


def _interface_addresses() -> Iterable[str]:
    """From the kernel's tables; elsewhere than on Linux from the host's name."""
    try:
        lines = Path("/proc/net/fib_trie").read_text().splitlines()
    except OSError:
        yield from _resolve(socket.gethostname())
        return
    address = ""
    for line in lines:
        if "|-- " in line:
            address = line.rpartition("|-- ")[2].strip()
        elif "/32 host LOCAL" in line:
            yield address
    try:
        entries = Path("/proc/net/if_inet6").read_text().split("\n")
    except OSError:
        return
    for entry in entries:
        if entry:
            yield str(IPv6Address(int(entry.split()[0], 16)))
