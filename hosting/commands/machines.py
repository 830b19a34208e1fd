"""Machines of the inventory as control needs to know them."""

from collections.abc import Sequence
from dataclasses import dataclass

from hosting.control import Login, Machine
from hosting.control.factory import make_of
from hosting.credentials import login_for
from hosting.models import Miner


@dataclass(frozen=True, slots=True)
class Told:
    """A machine to command, and what is known of it: `told_serial` and `mac` are what it told earlier."""

    pk: int
    machine: Machine
    make: str | None
    serial: str
    told_serial: str | None
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
        make=(identity.make if identity else None) or (model.manufacturer if model else None),
        model=(identity.model if identity else None) or (model.name if model else None),
        firmware=identity and identity.firmware,
        key=miner.pk,
        login=login,
        serial=miner.serial_number,
        mac=identity and identity.mac,
    )
    watts = float(model.power_consumption) if model and model.power_consumption else None
    return Told(
        pk=miner.pk,
        machine=machine,
        make=make_of(make=machine.make, model=machine.model, firmware=machine.firmware),
        serial=miner.serial_number,
        told_serial=identity and identity.serial,
        mac=identity and identity.mac,
        nameplate_w=watts,
    )
