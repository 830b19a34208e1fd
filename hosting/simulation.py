"""Putting simulated machines into the inventory, so that the collector reads them like any other."""

from collections.abc import Iterable, Sequence

from django.db import transaction

from accounts.models import User
from hosting.addresses import rules_of
from hosting.cgminer.simulator import SimulatedMiner
from hosting.models import Miner, MinerModel, Site


@transaction.atomic
def register_simulated(
    simulated: Iterable[SimulatedMiner], *, site: Site, clients: Sequence[User] = ()
) -> tuple[int, int]:
    """Add the machines to the site, read every minute, owned by the clients in turn; return (added, updated).

    A machine with the same serial number, or an earlier one at the same address, is taken over. Raises AddressRefused.
    """
    models = {model.name: model for model in MinerModel.objects.all()}
    machines = list(simulated)
    rules = rules_of(site)
    for machine in machines:
        rules.check(machine.host, machine.port)
    before = Miner.objects.filter(serial_number__in=[machine.serial for machine in machines]).count()
    addresses = {(machine.host, machine.port) for machine in machines}
    for miner in Miner.objects.filter(site=site, cgminer_ip__in=[machine.host for machine in machines]):
        if (miner.cgminer_ip, miner.cgminer_port) in addresses:
            Miner.objects.filter(pk=miner.pk).update(cgminer_ip=None, cgminer_enabled=False)
    Miner.objects.bulk_create(
        [
            Miner(
                serial_number=machine.serial,
                miner_model=models[machine.model.name],
                site=site,
                cgminer_ip=machine.host,
                cgminer_port=machine.port,
                cgminer_enabled=True,
                client=clients[number % len(clients)] if clients else None,
            )
            for number, machine in enumerate(machines)
        ],
        update_conflicts=True,
        unique_fields=["serial_number"],
        update_fields=["site", "cgminer_ip", "cgminer_port", "cgminer_enabled", "miner_model"],
    )
    return len(machines) - before, before
