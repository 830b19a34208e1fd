"""Where a request comes from. One answer for the sign-in trail, for limits and for address lists."""

import ipaddress
from collections.abc import Collection

from django.conf import settings
from django.http import HttpRequest

IPV6_NETWORK = 64  # what one customer of a provider gets; single addresses of it are free to change


def client_address(request: HttpRequest) -> str | None:
    """The address of the client, as the outermost of our own TRUSTED_PROXY_COUNT proxies saw it; None when it is unknown.

    Each proxy appends whom it heard from to X-Forwarded-For, so only that many entries from the right are ours. What stands
    left of them was written by the client and is never read. A request with fewer entries came around the proxies: then the
    peer of the connection is the client.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    trusted: int = settings.TRUSTED_PROXY_COUNT
    if trusted:
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        if len(forwarded) >= trusted and (address := _parse(forwarded[-trusted])):
            return address
    return _parse(peer)


def network_of(address: str | None) -> str:
    """What a limit counts as one: an IPv4 address, or the /64 of an IPv6 address; unknown addresses are one together."""
    if address is None:
        return "unknown"
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return address
    return str(ipaddress.ip_network(f"{address}/{IPV6_NETWORK}", strict=False))


def is_within(address: str | None, networks: Collection[str]) -> bool:
    """Whether the address lies in one of the networks, or there is none to lie in."""
    if not networks:
        return True
    try:
        source = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(source in ipaddress.ip_network(network) for network in networks)


def _parse(text: str) -> str | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:4711
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:4711
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if ip.version == 6 else None
    return str(mapped or ip)
