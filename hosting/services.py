"""What people do to machines: each verb changes many in one UPDATE, writes one operation-log line per machine changed, and
returns how many that were. A machine that is as wanted already, or may not move from its status, is left alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from hosting.addresses import rules_of
from hosting.models import Miner, OperationLog, Site
from hosting.states import PEOPLES_MOVES, WATCHED, MinerStatus


class AddressTaken(Exception):
    """The site has another machine at the address of one that should move there; nothing was moved."""


class AddressOutside(AddressTaken):
    """The address of a machine is outside of the networks of the site that it should move to; nothing was moved."""


class NotAClient(Exception):
    """Machines belong to customers; a member of staff or a guest cannot own one."""


def start_maintenance(miners: "QuerySet[Miner]", *, reason: str = "", by: User | None) -> int:
    """Take active and offline machines out of the collector's and the plans' hands."""
    return _move_status(miners, MinerStatus.MAINTENANCE, operation="maintenance", details=reason, by=by)


def end_maintenance(miners: "QuerySet[Miner]", *, reason: str = "", by: User | None) -> int:
    """Put machines in maintenance back to active; the collector moves those that do not answer to offline."""
    return _move_status(miners, MinerStatus.ACTIVE, operation="activate", details=reason, by=by)


def curtail_miners(miners: "QuerySet[Miner]", *, reason: str = "", by: User | None) -> int:
    """Mark active and offline machines as held off by a plan; the collector and people leave their status alone then."""
    return _change(
        miners,
        only=Q(status__in=WATCHED),
        values={"status": MinerStatus.CURTAILED},
        operation="curtailed",
        details=reason,
        by=by,
    )


def uncurtail_miners(
    miners: "QuerySet[Miner]", *, to: MinerStatus = MinerStatus.ACTIVE, reason: str = "", by: User | None
) -> int:
    """Give machines back that no plan holds any more; `to` is offline for one that does not answer."""
    return _change(
        miners,
        only=Q(status=MinerStatus.CURTAILED),
        values={"status": to},
        operation="curtailment ended",
        details=reason,
        by=by,
    )


def start_reading(miners: "QuerySet[Miner]", *, by: User) -> int:
    """Poll the machines every minute; those without an address are left alone."""
    only = Q(cgminer_enabled=False, cgminer_ip__isnull=False)
    return _change(miners, only=only, values={"cgminer_enabled": True}, operation="reading on", details="", by=by)


def stop_reading(miners: "QuerySet[Miner]", *, by: User) -> int:
    """Poll the machines no longer."""
    only = Q(cgminer_enabled=True)
    return _change(miners, only=only, values={"cgminer_enabled": False}, operation="reading off", details="", by=by)


def move_miners(miners: "QuerySet[Miner]", *, to: Site, by: User) -> int:
    """Move machines to another site with their addresses, out of their racks; raises AddressTaken, or AddressOutside."""
    rules = rules_of(to)
    held = miners.order_by().exclude(site=to).filter(cgminer_ip__isnull=False)
    for serial, host, port in held.values_list("serial_number", "cgminer_ip", "cgminer_port"):
        if refusal := rules.refusal(str(host), port):
            raise AddressOutside(f"{serial}: {refusal}")
    try:
        return _change(
            miners,
            only=Q(site__isnull=True) | ~Q(site=to),
            values={"site": to, "rack": None, "slot": None},
            operation="move",
            details=f"to {to.name}",
            by=by,
        )
    except IntegrityError as error:
        if "hosting_miners_address_unique" not in str(error):
            raise
        raise AddressTaken(_clash(miners, to)) from error


def assign_miners(miners: "QuerySet[Miner]", *, client: User | None, by: User) -> int:
    """Give machines to a customer, or with None to nobody; raises NotAClient."""
    if client is not None and client.role != Role.CLIENT:
        raise NotAClient(f"{client.email} is no client: give the account the role client first.")
    only = Q(client__isnull=False) if client is None else Q(client__isnull=True) | ~Q(client=client)
    details = "to nobody" if client is None else f"to {client.email}"
    return _change(miners, only=only, values={"client": client}, operation="assign", details=details, by=by)


def retire_miners(miners: "QuerySet[Miner]", *, reason: str = "", by: User | None) -> int:
    """Take machines out of the farm for good: their history stays, their address and slot are free for another one.

    Curtailed machines are left alone: the plan that holds them must let go first.
    """
    at_rest = {"cgminer_enabled": False, "rack": None, "slot": None, "status": MinerStatus.OFFLINE}
    return _change(
        miners,
        only=~Q(status=MinerStatus.CURTAILED),
        values={"retired_at": timezone.now(), "retired_reason": reason or None, **at_rest},
        operation="retire",
        details=reason,
        by=by,
    )


def unretire_miners(miners: "QuerySet[Miner]", *, by: User | None) -> int:
    """Take retired machines back, offline and not read yet; raises AddressTaken when another one has the address now."""
    try:
        return _change(
            miners,
            only=Q(),
            values={"retired_at": None, "retired_reason": None},
            operation="unretire",
            details="",
            by=by,
            retired=True,
        )
    except IntegrityError as error:
        if "hosting_miners_address_unique" not in str(error):
            raise
        raise AddressTaken(
            "Another machine of the site has the address of one of these by now: clear or change that address first."
        ) from error


def log_changes(details_by_miner: Mapping[int, str], *, by: User | None) -> None:
    """One `changed` line per machine that was edited in a form or by an import."""
    OperationLog.objects.bulk_create(
        OperationLog(miner_id=miner_id, operation="changed", details=details, performed_by=by)
        for miner_id, details in details_by_miner.items()
    )


def recount_sites(site_ids: Iterable[int | None]) -> None:
    """Bring `total_miners` and `active_miners` of the sites up to date without waiting for their next sweep."""
    with transaction.atomic():
        wanted = Site.objects.filter(pk__in={site_id for site_id in site_ids if site_id is not None})
        list(wanted.order_by("pk").select_for_update(no_key=True).values_list("pk"))  # one order, so no deadlock
        wanted.update(total_miners=_machines(Q()), active_miners=_machines(Q(status=MinerStatus.ACTIVE)))


def _machines(only: Q) -> Coalesce:
    counted = (
        Miner.objects.in_service()
        .filter(only, site=OuterRef("pk"))
        .order_by()
        .values("site")
        .annotate(number=Count("pk"))
    )
    return Coalesce(Subquery(counted.values("number"), output_field=IntegerField()), 0)


def _move_status(miners: "QuerySet[Miner]", to: MinerStatus, *, operation: str, details: str, by: User | None) -> int:
    legal = Q(status__in=PEOPLES_MOVES[to])
    return _change(miners, only=legal, values={"status": to}, operation=operation, details=details, by=by)


@transaction.atomic
def _change(
    miners: "QuerySet[Miner]",
    *,
    only: Q,
    values: dict[str, Any],
    operation: str,
    details: str,
    by: User | None,
    retired: bool = False,
) -> int:
    only &= Q(retired_at__isnull=not retired)
    wanted = Miner.objects.filter(only, pk__in=miners.order_by().values("pk"))
    # Rows are locked in one order: a sweep and two people changing the same machines wait, and never deadlock.
    found = list(wanted.order_by("pk").select_for_update(no_key=True).values_list("pk", "site_id"))
    changing = Miner.objects.filter(only, pk__in=[miner_id for miner_id, _ in found])
    moved = changing.update(**values, updated_at=timezone.now())
    OperationLog.objects.bulk_create(
        OperationLog(miner_id=miner_id, operation=operation, details=details or None, performed_by=by)
        for miner_id, _ in found
    )
    sites = {site_id for _, site_id in found}
    if isinstance(to := values.get("site"), Site) and found:
        sites.add(to.pk)
    recount_sites(sites)
    return moved


def _clash(miners: "QuerySet[Miner]", to: Site) -> str:
    moving = miners.order_by().values("pk")
    twin = Miner.objects.filter(cgminer_ip=OuterRef("cgminer_ip"), cgminer_port=OuterRef("cgminer_port"))
    twin = twin.filter(Q(site=to) | Q(pk__in=moving), retired_at__isnull=True).exclude(pk=OuterRef("pk"))
    found = Miner.objects.filter(Exists(twin), pk__in=moving).order_by(F("serial_number"))
    named = ", ".join(f"{miner.serial_number} ({miner.address})" for miner in found[:3])
    return f"{to.name} has another machine at the address of {named or 'one of them'}: change the address first."
