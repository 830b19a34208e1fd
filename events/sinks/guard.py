"""Which addresses of strangers we may connect to: the guard against requests that reach our own network (SSRF).

A target is judged twice: its text when it is saved, its addresses at every connection. The caller connects to the address
that was judged and never asks DNS again, so a name that changes its answer gains nothing.
"""

import re
import socket
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import idna
from django.conf import settings

MAX_LENGTH = 2048
PORTS = (443, 8443)
DEFAULT_PORTS = {"https": 443, "http": 80}

Address = IPv4Address | IPv6Address
Lookup = Callable[..., Iterable[tuple[Any, ...]]]  # socket.getaddrinfo's shape

# Python's is_global differs between its versions and calls some of these public: what is refused stands here in full.
REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; one cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address by which one cloud serves machines their settings
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo among others
        "2001:db8::/32",
        "3fff::/20",
    )
)
GLOBAL_UNICAST = ip_network(
    "2000::/3"
)  # outside it: loopback, mapped, local-use NAT64, unique local, link and site local
NAT64 = ip_network("64:ff9b::/96")
ISATAP = 0x0000_5EFE  # the upper half of an interface id, but for one bit
INNER_NAMES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".onion")

NETLOC = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@%\\]+)(?::(?P<port>[0-9]{1,5}))?")
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class TargetRefused(ValueError):
    """We do not send there; the message says why and what to give instead."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect (`address`), whose certificate to ask for (`server_name`) and what to request (`path`)."""

    host: str
    port: int
    address: str
    server_name: str
    scheme: str
    path: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    literal: Address | None
    listed: bool


def check_target(url: str) -> None:
    """Raises TargetRefused for a URL that can never be right. Names are not looked up: their answers change."""
    target = _parse(url, settings.WEBHOOK_ALLOWED_TARGETS)
    if target.literal is not None:
        _judge(target.literal, target)


def resolve(
    url: str, lookup: Lookup = socket.getaddrinfo, *, inner_targets: Iterable[str] | None = None
) -> Destination:
    """Ask DNS once and judge every address of the answer. Raises TargetRefused, or OSError where DNS has no answer.

    `inner_targets` are what may stand in our own network, `host:port`; None means WEBHOOK_ALLOWED_TARGETS.
    """
    target = _parse(url, settings.WEBHOOK_ALLOWED_TARGETS if inner_targets is None else inner_targets)
    if target.literal is not None:
        addresses: list[Address] = [target.literal]
    else:
        answers = lookup(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = [ip_address(answer[4][0]) for answer in answers]
    if not addresses:
        raise OSError(f"{target.host} has no address")
    for address in addresses:
        _judge(address, target)
    return Destination(
        host=target.host,
        port=target.port,
        address=str(addresses[0]),
        server_name=target.host,
        scheme=target.scheme,
        path=target.path,
    )


def _parse(url: str, inner_targets: Iterable[str]) -> _Target:
    _judge_text(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise TargetRefused(f"This is no URL ({error}).") from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS or not parts.netloc:
        raise TargetRefused("Give a URL that starts with https://.")
    if "@" in parts.netloc:
        raise TargetRefused("The URL contains a user or password: leave it out, the signature shows who sends.")
    if not (parts.path + parts.query).isascii():
        raise TargetRefused("Behind the host the URL has characters outside ASCII: percent-encode them.")
    split = NETLOC.fullmatch(parts.netloc)
    if split is None:
        raise TargetRefused(f"{parts.netloc!r} is no host with an optional port.")
    port = int(split["port"]) if split["port"] else DEFAULT_PORTS[scheme]
    host, literal = _host(split["host"])
    listed = _entry(host, port) in {entry.strip().lower() for entry in inner_targets}
    if not listed:
        _judge_outside(scheme, port, host, named=literal is None)
    elif not 0 < port < 65_536:
        raise TargetRefused(f"There is no port {port}.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(scheme, host, port, path, literal, listed)


def _judge_text(url: str) -> None:
    """Before urlsplit, which drops tabs and line ends without a word."""
    if len(url) > MAX_LENGTH:
        raise TargetRefused(f"The URL has {len(url)} characters; {MAX_LENGTH} are the most.")
    if any(character <= " " or character == "\\" or not character.isprintable() for character in url):
        raise TargetRefused("The URL contains a space, a control character or a backslash: percent-encode it.")
    if "#" in url:
        raise TargetRefused("The URL contains a fragment (#...), which no server sees: leave it out.")


def _judge_outside(scheme: str, port: int, host: str, *, named: bool) -> None:
    """What holds for everything that the operator has not listed."""
    if scheme != "https":
        raise TargetRefused("Give a URL that starts with https://: events are not sent in the open.")
    if port not in PORTS:
        raise TargetRefused(f"Port {port} is not open to webhooks: use {PORTS[0]} or {PORTS[1]}.")
    if named and ("." not in host or f".{host}".endswith(INNER_NAMES)):
        raise TargetRefused(f"{host} is a name of an inner network: give a name that the whole internet knows.")


def _host(text: str) -> tuple[str, Address | None]:
    """The host in lower-case ASCII and, if it is one, as an address."""
    if text.startswith("["):
        try:
            inner = IPv6Address(text[1:-1])
        except ValueError:
            raise TargetRefused(f"{text} is no IPv6 address.") from None
        return str(inner), inner
    name = _ascii(text)
    labels = name.split(".")
    if NUMBER.fullmatch(labels[-1] or labels[-2 if len(labels) > 1 else -1]):
        try:  # only the four plain numbers: getaddrinfo also takes 127.1, 0x7f.1, 2130706433 and 017700000001
            literal = IPv4Address(name)
        except ValueError:
            raise TargetRefused(f"{text} is an address in an unusual form: write four decimal numbers.") from None
        return name, literal
    if len(name) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise TargetRefused(f"{text} is no host name.")
    return name, None


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Circled and full-width digits, and dots of other scripts, turn into plain ones on the way to DNS.
    unusual = any(character.isnumeric() and not character.isascii() for character in text)
    if unusual or unicodedata.normalize("NFKC", text) != text:
        raise TargetRefused(f"{text} contains look-alikes of plain letters, digits or dots: write it plainly.")
    try:
        return idna.encode(text.lower(), strict=True).decode()
    except idna.IDNAError as error:
        raise TargetRefused(f"{text} is no host name ({error}).") from None


def _entry(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _judge(address: Address, target: _Target) -> None:
    if not allowed(address, inner=target.listed):
        what = str(address) if target.literal is not None else f"{target.host} resolves to {address}, which"
        raise TargetRefused(f"{what} is not an address of the public internet.")


def allowed(address: Address, *, inner: bool = False) -> bool:
    """Whether we connect there; `inner` (listed by the operator) opens loopback and private networks, never link-local."""
    carried = _carried(address)
    if inner:
        return not any(one.is_link_local or one.is_multicast or one.is_unspecified for one in (address, *carried))
    if not all(allowed(one) for one in carried):
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return bool(carried) and address in NAT64
    if any(address in network for network in REFUSED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def _carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses to which a packet for this IPv6 address may go in the end."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or (int(address) >> 32) & 0xFDFF_FFFF == ISATAP:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]
