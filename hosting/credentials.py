"""Which login a machine takes its orders with: its own, that of its make at its site, that of its site, the factory's."""

import logging
from collections.abc import Iterable

from django.conf import settings
from django.db.models import Q

from hosting.control import Login
from hosting.control.factory import FACTORY_LOGINS, make_of
from hosting.models.credentials import MinerCredential
from hosting.models.inventory import Miner
from minefarm.lib.sealing import Unreadable

log = logging.getLogger(__name__)

Machine = tuple[int, int | None, str | None]


def login_for(miner_ids: Iterable[int]) -> dict[int, Login]:
    """The login of each machine that has one, in two queries. The factory's count only if MINEFARM_FACTORY_LOGINS allows.

    A password that cannot be read, for its SECRET_KEY is gone, is logged and the next wider login is not tried instead: a wrong
    one could lock the machine.
    """
    machines: list[Machine] = [
        (pk, site_id, make_of(make=own or maker, model=name, firmware=firmware))
        for pk, site_id, own, firmware, maker, name in Miner.objects.filter(pk__in=list(miner_ids)).values_list(
            "pk",
            "site_id",
            "identity__make",
            "identity__firmware",
            "miner_model__manufacturer",
            "miner_model__name",
        )
    ]
    kept = _kept(machines)
    found = {}
    for machine in machines:
        login = _choose(machine, kept)
        if login is not None:
            found[machine[0]] = login
    return found


Kept = dict[tuple[int | None, str, int | None], Login | None]


def _kept(machines: list[Machine]) -> Kept:
    """Every login that may concern them, unsealed once; None for one that cannot be read."""
    sites = {site_id for _, site_id, _ in machines if site_id is not None}
    wanted = Q(site__in=sites) | Q(miner__in=[pk for pk, _, _ in machines])
    kept: Kept = {}
    for row in MinerCredential.objects.defer(None).filter(wanted).order_by():
        try:
            kept[row.site_id, row.make, row.miner_id] = row.login()
        except Unreadable as error:
            log.error("miner login %s: %s", row.pk, error)  # noqa: TRY400  the message is the whole of it
            kept[row.site_id, row.make, row.miner_id] = None
    return kept


def _choose(machine: Machine, kept: Kept) -> Login | None:
    miner_id, site_id, make = machine
    places: list[tuple[int | None, str, int | None]] = [(None, "", miner_id)]
    if site_id is not None:
        places += [(site_id, make, None)] if make else []
        places.append((site_id, "", None))
    for place in places:
        if place in kept:
            return kept[place]
    return FACTORY_LOGINS.get(make or "") if settings.MINEFARM_FACTORY_LOGINS else None
