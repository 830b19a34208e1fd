"""Whether the machine at an address is the one that the inventory means."""

from collections.abc import Mapping

from django.db import transaction

from events.outbox import Fact, publish_many
from hosting.commands.machines import Told
from hosting.models import Miner, MinerIdentity, OperationLog

Names = tuple[str | None, str | None]  # serial number and MAC, as the machine tells them


def is_stranger(names: Names, known: Told) -> bool:
    """Whether it says that it is another machine; one that says nothing of itself is believed.

    The serial number decides where it is told, the MAC where it is not: boards with the network are swapped.
    """
    serial, mac = names
    if serial is not None:
        return serial.casefold() not in {expected.casefold() for expected in known.serials}
    return mac is not None and known.mac is not None and mac != known.mac


def in_words(names: Names) -> str:
    serial, mac = names
    return ", ".join(part for part in (serial and f"serial number {serial}", mac and f"MAC {mac}") if part)


def unexpected(found: Mapping[int, Names], told: Mapping[int, Told]) -> dict[int, str]:
    """By machine of the inventory, who answers in its place; they are flagged, and what was learnt of the others is kept."""
    strangers = {pk: in_words(names) for pk, names in found.items() if is_stranger(names, told[pk])}
    flag(strangers)
    learnt = {pk: mac for pk, (_, mac) in found.items() if pk not in strangers and mac and mac != told[pk].mac}
    remember_macs(learnt)
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
def remember_macs(macs: Mapping[int, str]) -> None:
    MinerIdentity.objects.bulk_create(
        [MinerIdentity(miner_id=pk, mac=mac) for pk, mac in sorted(macs.items())],
        update_conflicts=True,
        unique_fields=["miner"],
        update_fields=["mac"],
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
