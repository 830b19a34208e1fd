"""Which machines are not commanded, and why."""

from collections.abc import Iterable

from hosting.addresses import AddressRules, rules_of
from hosting.models import Miner, Site
from hosting.states import MinerStatus


def barred(ids: Iterable[int]) -> dict[int, str]:
    """The reason, for people, for each of the machines that must not be commanded now."""
    rows = Miner.objects.filter(pk__in=list(ids)).values_list(
        "pk", "status", "cgminer_ip", "cgminer_port", "site_id", "identity__mismatch"
    )
    rules: dict[int | None, AddressRules] = {None: rules_of(None)}
    rules |= {site.pk: rules_of(site) for site in Site.objects.all()}
    found = {
        pk: why_not(status, host, port, rules[site_id], mismatch) for pk, status, host, port, site_id, mismatch in rows
    }
    return {pk: why for pk, why in found.items() if why is not None}


def why_not(status: str, host: str | None, port: int, rules: AddressRules, mismatch: str | None) -> str | None:
    if status == MinerStatus.MAINTENANCE:
        return "it is in maintenance: somebody may have their hands in it"
    if mismatch:
        return f"another machine answers at its address ({mismatch}): scan the site, or correct the inventory"
    if host is None:
        return "it has no address: enter one"
    return rules.refusal(host, port)
