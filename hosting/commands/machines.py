"""Machines of the inventory as control needs to know them."""

from collections.abc import Sequence
from dataclasses import dataclass

from hosting.control import Login, Machine
from hosting.credentials import login_for
from hosting.models import Miner


@dataclass(frozen=True, slots=True)
class Told:
    """A machine to command, and what the inventory expects of it: serial numbers, MAC, W by the data sheet."""

    machine: Machine
    serials: frozenset[str]
    mac: str | None
    nameplate_w: float | None


def machines_of(miner_ids: Sequence[int]) -> dict[int, Told]:
    """The machines by their id; those without an address are missing."""
    rows = Miner.objects.filter(pk__in=list(miner_ids), cgminer_ip__isnull=False).select_related(
        "identity", "miner_model"
    )
    logins = login_for(miner_ids)
    return {miner.pk: _told(miner, logins.get(miner.pk)) for miner in rows}


def _told(miner: Miner, login: Login | None) -> Told:
    identity = getattr(miner, "identity", None)
    model = miner.miner_model
    machine = Machine(
        host=str(miner.cgminer_ip),
        port=miner.cgminer_port,
        make=(identity and identity.make) or (model and model.manufacturer),
        model=(identity and identity.model) or (model and model.name),
        firmware=identity and identity.firmware,
        key=miner.pk,
        login=login,
        serial=miner.serial_number,
        mac=identity and identity.mac,
    )
    accepted = {identity.serial} if identity and identity.serial else {miner.serial_number}
    watts = float(model.power_consumption) if model and model.power_consumption else None
    return Told(machine, frozenset(accepted), identity and identity.mac, watts)
