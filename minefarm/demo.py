"""The demo farm: people, sites and simulated machines. Only ever written into a database that holds nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from analytics.calculation import calculate_indicators
from analytics.history import seed_generated
from analytics.models import PowerContract, TariffBand
from analytics.power import expand_tariff
from crm.demo import seed_pipeline
from hosting.cgminer.simulator import SimulatedMiner
from hosting.control.factory import FACTORY_LOGINS
from hosting.models import Miner, MinerCredential, Site
from hosting.prices import set_price
from hosting.simulation import register_simulated
from hosting.states import MinerStatus
from minefarm.demo_plans import seed_plans
from minefarm.lib.clock import database_now

PASSWORD = "minefarm-demo"  # noqa: S105  of the demo on loopback; real_farm() keeps it out of a real database
DOMAIN = "demo.minefarm.example"


@dataclass(frozen=True)
class Login:
    role: Role
    email: str
    name: str
    sees: str


LOGINS = (
    Login(Role.OWNER, f"owner@{DOMAIN}", "Demo Owner", "everything, and the admin"),
    Login(Role.USER, f"operator@{DOMAIN}", "Demo Operator", "sites and machines, and the admin"),
    Login(Role.CLIENT, f"client-a@{DOMAIN}", "Client A", "their own machines"),
    Login(Role.CLIENT, f"client-b@{DOMAIN}", "Client B", "their own machines"),
)
# Name, place, share of the machines, and capacity for each machine, in MW.
SITES = (("North Ridge", "Ridge valley", 0.65), ("South Dock", "Harbour, hall 2", 0.35))
CAPACITY_MW_PER_MINER = 0.0042
MARKET_DAYS = 30
AT_REST: dict[str, Any] = {"cgminer_enabled": False, "rack": None, "slot": None, "status": MinerStatus.OFFLINE}
FIXED_PRICE, DAY_PRICE, NIGHT_PRICE = Decimal("0.055"), Decimal("0.068"), Decimal("0.041")  # USD per kWh


def real_farm() -> bool:
    """Whether the database holds people who are not of the demo."""
    return User.objects.exclude(email__endswith=f"@{DOMAIN}").exists()


def keep_factory_logins(site: Site) -> None:
    """Simulated machines have the logins of their makers' factories."""
    for make, login in FACTORY_LOGINS.items():
        row = MinerCredential.objects.filter(site=site, make=make).first() or MinerCredential(site=site, make=make)
        row.user = login.user
        row.set_password(login.password)
        row.save()


def price_electricity(site: Site) -> None:
    """Prices of the demo: one that is fixed, and a tariff with a cheap night; no market is asked."""
    if site.electricity_prices.exists():
        return
    starts_on = database_now().date() - timedelta(days=MARKET_DAYS)
    if site.name == SITES[0][0]:
        set_price(site, FIXED_PRICE, datetime.combine(starts_on, time(), UTC))
        return
    contract = PowerContract.objects.create(site=site, price_per_kwh=DAY_PRICE, starts_on=starts_on)
    TariffBand.objects.create(
        contract=contract, weekdays="mon-sun", from_hour=22, until_hour=6, price_per_kwh=NIGHT_PRICE
    )
    expand_tariff(contract, since=contract.starts_at())


@transaction.atomic
def seed_demo(machines: list[SimulatedMiner]) -> dict[str, int]:
    """Make the demo's people and sites, and put each machine into a site; return the number of machines per site.

    Machines of an earlier demo that are not among them are retired.
    """
    for login in LOGINS:
        if not User.objects.filter(email=login.email).exists():
            User.objects.create_user(login.email, PASSWORD, role=login.role, name=login.name)
    clients = list(User.objects.filter(role=Role.CLIENT).order_by("email"))
    split = round(len(machines) * SITES[0][2])
    counts = {}
    for (name, location, _share), part in zip(SITES, (machines[:split], machines[split:]), strict=True):
        capacity = round(max(len(part), 1) * CAPACITY_MW_PER_MINER, 3)
        site, _ = Site.objects.update_or_create(name=name, defaults={"location": location, "capacity_mw": capacity})
        wanted = [machine.serial for machine in part]
        # What was billed or curtailed keeps its history, as on a real farm.
        earlier = site.miners.in_service().exclude(serial_number__in=wanted)
        earlier.update(retired_at=database_now(), retired_reason="of an earlier demo", **AT_REST)
        back = Miner.objects.filter(serial_number__in=wanted, retired_at__isnull=False)
        back.update(retired_at=None, retired_reason=None, cgminer_ip=None)
        register_simulated(part, site=site, clients=clients)
        keep_factory_logins(site)
        counts[name] = len(part)
        price_electricity(site)
    operator = User.objects.filter(role=Role.USER).order_by("email").first() or clients[0]
    seed_pipeline(owner=operator, clients=clients, site=Site.objects.get(name=SITES[0][0]))
    seed_generated(database_now(), days=MARKET_DAYS)  # of a market that never was: the demo asks nobody
    calculate_indicators()
    seed_plans(Site.objects.get(name=SITES[0][0]))
    return counts
