"""Whether the machine at an address is the one that the inventory means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from events.outbox import Fact, publish_many
from hosting.commands.machines import Told
from hosting.models import Miner, MinerIdentity, OperationLog

Names = tuple[str | None, str | None]  # serial number and MAC, as the machine tells them


# Their web interface tells the serial number of the label; other makes tell numbers of their own.
LABELLED = frozenset({"Antminer"})


@dataclass(frozen=True, slots=True)
class Owners:
    """Which machine of the inventory has a serial number, and which was last seen with a MAC."""

    serials: Mapping[str, int]
    macs: Mapping[str, int]


def owners_of(found: Iterable[Names]) -> Owners:
    names = list(found)
    serials = {serial for serial, _ in names if serial}
    macs = {mac for _, mac in names if mac}
    by_serial = dict(Miner.objects.filter(serial_number__in=serials).values_list("serial_number", "pk"))
    kept = MinerIdentity.objects.filter(Q(serial__in=serials) | Q(mac__in=macs)).values_list("serial", "mac", "pk")
    by_mac: dict[str, int] = {}
    for serial, mac, pk in kept:
        if serial:
            by_serial.setdefault(serial, pk)
        if mac:
            by_mac[mac] = pk
    return Owners(by_serial, by_mac)


def is_stranger(names: Names, known: Told, owners: Owners) -> bool:
    """Whether it is another machine than the inventory's; one that says nothing of itself is believed.

    What it told earlier decides; before that the inventory's serial number does, for makes that tell it. The serial number
    goes before the MAC: boards with the network are swapped.
    """
    serial, mac = names
    if serial is not None:
        if serial in {known.serial, known.told_serial}:
            return False
        if known.told_serial is not None or known.make in LABELLED:
            return True
        if owners.serials.get(serial, known.pk) != known.pk:
            return True
    if mac is None:
        return False
    return owners.macs.get(mac, known.pk) != known.pk or known.mac not in {None, mac}


def in_words(names: Names) -> str:
    serial, mac = names
    return ", ".join(part for part in (serial and f"serial number {serial}", mac and f"MAC {mac}") if part)


def from_words(text: str) -> Names:
    """The names that `in_words` was given."""
    serial, mac = None, None
    for part in text.split(", "):
        if part.startswith("serial number "):
            serial = part.removeprefix("serial number ")
        elif part.startswith("MAC "):
            mac = part.removeprefix("MAC ")
    return serial, mac


def unexpected(found: Mapping[int, Names], told: Mapping[int, Told]) -> dict[int, str]:
    """By machine of the inventory, who answers in its place; they are flagged, and what was learnt of the others is kept."""
    owners = owners_of(found.values())
    strangers = {pk: in_words(names) for pk, names in found.items() if is_stranger(names, told[pk], owners)}
    flag(strangers)
    remember({pk: names for pk, names in found.items() if pk not in strangers}, told)
    return strangers


@transaction.atomic
def flag(strangers: Mapping[int, str]) -> list[int]:
    """Mark machines in whose place another one answers, with a log line and an event each; those marked before are left."""
    if not strangers:
        return []
    MinerIdentity.objects.bulk_create([MinerIdentity(miner_id=pk) for pk in sorted(strangers)], ignore_conflicts=True)
    fresh = MinerIdentity.objects.filter(miner__in=strangers, mismatch=None).order_by("pk")
    ids = list(fresh.select_for_update(no_key=True).values_list("pk", flat=True))
    for pk in ids:
        MinerIdentity.objects.filter(pk=pk, mismatch=None).update(mismatch=strangers[pk])
    OperationLog.objects.bulk_create(
        OperationLog(miner_id=pk, operation="identity mismatch", details=f"at its address answers {strangers[pk]}")
        for pk in ids
    )
    rows = Miner.objects.filter(pk__in=ids).values_list("pk", "serial_number", "site_id")
    publish_many(
        "miner.identity_mismatch",
        [
            Fact(
                f"miner:{pk}",
                {"miner_id": pk, "serial_number": serial, "site_id": site_id, "found": strangers[pk]},
            )
            for pk, serial, site_id in rows
        ],
    )
    return ids


@transaction.atomic
def remember(found: Mapping[int, Names], told: Mapping[int, Told]) -> None:
    """Keep what machines told of themselves, where that is new."""
    rows = []
    for pk, (serial, mac) in sorted(found.items()):
        known = told[pk]
        own = None if serial == known.serial else serial
        if (own and own != known.told_serial) or (mac and mac != known.mac):
            rows.append(MinerIdentity(miner_id=pk, serial=own or known.told_serial, mac=mac or known.mac))
    MinerIdentity.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["miner"], update_fields=["serial", "mac"]
    )


def clear(miner_ids: list[int]) -> int:
    """Take the flag off machines that answered under their own name again."""
    flagged = MinerIdentity.objects.filter(miner__in=miner_ids, mismatch__isnull=False)
    with transaction.atomic():
        ids = list(flagged.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        MinerIdentity.objects.filter(pk__in=ids).update(mismatch=None)
        OperationLog.objects.bulk_create(
            OperationLog(miner_id=pk, operation="identity confirmed", details="it answers at its address again")
            for pk in ids
        )
    return len(ids)


@transaction.atomic
def accept(miners: "QuerySet[Miner]", *, by: User) -> int:
    """Take the machines that answer in place of flagged ones for them: the inventory's labels are right, or do not matter.

    What the machine tells next is kept as its own. Returns how many flags were taken off.
    """
    flagged = MinerIdentity.objects.filter(miner__in=miners.order_by().values("pk"), mismatch__isnull=False)
    found = list(flagged.order_by("pk").select_for_update(no_key=True))
    for row in found:
        serial, mac = from_words(str(row.mismatch))
        MinerIdentity.objects.filter(pk=row.pk).update(mismatch=None, serial=serial, mac=mac)
    OperationLog.objects.bulk_create(
        OperationLog(miner_id=row.pk, operation="identity accepted", details=row.mismatch, performed_by=by)
        for row in found
    )
    return len(found)
