"""Which machines of the inventory were found where, and what follows: known, moved, another one, new."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from hosting.addresses import rules_of
from hosting.catalogue import find_model
from hosting.commands.identity import Owners, clear, flag, in_words, is_stranger, owners_of, remember
from hosting.commands.machines import Told, machines_of
from hosting.models import DiscoveredMiner, FindState, Miner, MinerIdentity, MinerModel, OperationLog, Site
from hosting.services import recount_sites
from minefarm.lib.clock import database_now


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

    @property
    def names(self) -> tuple[str | None, str | None]:
        return self.serial, self.mac

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port


@dataclass(slots=True)
class Scan:
    """What a scan did, in machines; `failed` counts addresses that gave no reading by the reason."""

    site_id: int
    networks: list[str]
    addresses: int = 0
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FindState.values, 0))
    failed: dict[str, int] = field(default_factory=dict)
    finds: list[tuple[Find, FindState]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Match:
    find: Find
    state: FindState
    miner_id: int | None = None


@transaction.atomic
def match(site: Site, finds: Sequence[Find], scan: Scan, *, by: User | None) -> None:
    """Bring the inventory up to date with the finds, and write them down."""
    here = {
        (str(host), port): pk
        for pk, host, port in Miner.objects.filter(site=site, cgminer_ip__isnull=False).values_list(
            "pk", "cgminer_ip", "cgminer_port"
        )
    }
    owners = owners_of(find.names for find in finds)
    concerned = {here[find.address] for find in finds if find.address in here}
    concerned |= {pk for find in finds if (pk := _owner(find, owners)) is not None}
    told = machines_of(sorted(concerned))
    at_home = _movable(site, concerned)
    matches = _decide(finds, here, owners, told, at_home)
    moves = {one.miner_id: one.find for one in matches if one.state is FindState.MOVED and one.miner_id in at_home}
    _follow(site, {pk: find for pk, find in moves.items() if pk is not None}, here, by=by)
    flag(
        {one.miner_id: in_words(one.find.names) for one in matches if one.miner_id and one.state is FindState.MISMATCH}
    )
    sure = [one for one in matches if one.state is FindState.KNOWN and one.miner_id and any(one.find.names)]
    clear([one.miner_id for one in sure if one.miner_id] + [pk for pk in moves if pk])
    remember({one.miner_id: one.find.names for one in sure if one.miner_id in told}, told)
    _write_down(site, matches)
    for one in matches:
        scan.states[one.state.value] += 1
        scan.finds.append((one.find, one.state))


def _owner(find: Find, owners: Owners) -> int | None:
    """The inventory's machine that the find says it is."""
    if find.serial is not None and find.serial in owners.serials:
        return owners.serials[find.serial]
    return owners.macs.get(find.mac) if find.mac is not None else None


def _movable(site: Site, ids: set[int]) -> set[int]:
    """Machines of this site, or of none: two sites may use the same addresses, so none is taken from another site."""
    rows = Miner.objects.filter(pk__in=ids).values_list("pk", "site_id")
    return {pk for pk, site_id in rows if site_id in {None, site.pk}}


def _decide(
    finds: Sequence[Find],
    here: dict[tuple[str, int], int],
    owners: Owners,
    told: dict[int, Told],
    at_home: set[int],
) -> list[Match]:
    settled = {_owner(find, owners) for find in finds if here.get(find.address) == _owner(find, owners)}
    matches = []
    for find in finds:
        resident, owner = here.get(find.address), _owner(find, owners)
        if owner is not None and owner == resident:
            matches.append(Match(find, FindState.KNOWN, owner))
        elif owner is not None and owner in settled:  # it answers at its own address, too: this is an impostor
            matches.append(Match(find, FindState.MISMATCH, resident))
        elif owner is not None:
            settled.add(owner)
            matches.append(Match(find, FindState.MOVED, owner if owner in at_home else None))
        elif resident is None:
            matches.append(Match(find, FindState.NEW))
        elif resident in told and is_stranger(find.names, told[resident], owners):
            matches.append(Match(find, FindState.MISMATCH, resident))
        else:
            matches.append(Match(find, FindState.KNOWN, resident))
    return matches


def _follow(site: Site, moves: dict[int, Find], here: dict[tuple[str, int], int], *, by: User | None) -> None:
    """Give moved machines the addresses where they are; whoever had one of those has none until it is found."""
    if not moves:
        return
    displaced = {here[find.address] for find in moves.values() if find.address in here} - set(moves)
    rows = Miner.objects.filter(pk__in={*moves, *displaced}).order_by("pk").select_for_update(no_key=True)
    before = {miner.pk: miner.address for miner in rows}
    Miner.objects.filter(pk__in=before).update(cgminer_ip=None)
    now = database_now()
    for pk, find in sorted(moves.items()):
        Miner.objects.filter(pk=pk).update(
            site=site, cgminer_ip=find.host, cgminer_port=find.port, cgminer_enabled=True, updated_at=now
        )
    lines = {pk: f"found at {find.host}:{find.port}, was at {before[pk] or 'no address'}" for pk, find in moves.items()}
    lines |= {pk: f"another machine has its address {before[pk]}; it has none until it is found" for pk in displaced}
    OperationLog.objects.bulk_create(
        OperationLog(miner_id=pk, operation="address", details=line, performed_by=by)
        for pk, line in sorted(lines.items())
    )
    recount_sites([site.pk])


def _write_down(site: Site, matches: Sequence[Match]) -> None:
    now = database_now()
    DiscoveredMiner.objects.bulk_create(
        [
            DiscoveredMiner(
                site=site,
                host=one.find.host,
                port=one.find.port,
                make=one.find.make,
                model=one.find.model,
                firmware=one.find.firmware,
                serial=one.find.serial,
                mac=one.find.mac,
                state=one.state,
                miner_id=one.miner_id,
                seen_at=now,
            )
            for one in matches
        ],
        update_conflicts=True,
        unique_fields=["site", "host", "port"],
        update_fields=["make", "model", "firmware", "serial", "mac", "state", "miner", "seen_at"],
    )


class CannotAdopt(ValueError):
    """A find lacks what the inventory needs; the message names it and the next step."""


@transaction.atomic
def adopt(finds: "QuerySet[DiscoveredMiner]", *, by: User) -> int:
    """Put new finds into the inventory, read every minute; how many were. Raises CannotAdopt, and then none was."""
    models = {model.name: model for model in MinerModel.objects.all()}
    new = list(finds.filter(state=FindState.NEW).select_related("site").order_by("pk").select_for_update(of=("self",)))
    for find in new:
        serial = find.serial or find.mac
        if not serial:
            raise CannotAdopt(
                f"{find} tells neither serial number nor MAC: add it to the miners by hand, with its label's."
            )
        if Miner.objects.filter(serial_number=serial).exists():
            raise CannotAdopt(f"There is a machine {serial} already: scan again to see where it is.")
        if refusal := rules_of(find.site).refusal(find.host, find.port):
            raise CannotAdopt(f"{serial}: {refusal}")
        spec = find_model(find.model or "")
        miner = Miner.objects.create(
            serial_number=serial,
            miner_model=models.get(spec.name) if spec else None,
            site=find.site,
            cgminer_ip=find.host,
            cgminer_port=find.port,
            cgminer_enabled=True,
        )
        MinerIdentity.objects.create(
            miner=miner, make=find.make, model=find.model, firmware=find.firmware, mac=find.mac
        )
        OperationLog.objects.create(
            miner=miner, operation="adopted", details=f"found at {find.host}:{find.port}", performed_by=by
        )
        DiscoveredMiner.objects.filter(pk=find.pk).update(state=FindState.ADOPTED, miner=miner)
    recount_sites(find.site_id for find in new)
    return len(new)
