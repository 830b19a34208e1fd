"""Where an address is: the country by the registries' own tables, packaged with us. No look-up leaves the machine."""

import ipaddress
from functools import cache
from importlib.resources import files

import iptocc

PRIVATE = "private network"


def location_of(address: str | None) -> str | None:
    """A country's English name, `private network`, or None when the tables do not know the address."""
    if address is None:
        return None
    if not ipaddress.ip_address(address).is_global:
        return PRIVATE
    code = iptocc.country_code(address)
    return _countries().get(code, code) if code else None


@cache
def _countries() -> dict[str, str]:
    """ISO 3166 as the time zone database carries it."""
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {row[0]: row[1] for row in rows}
