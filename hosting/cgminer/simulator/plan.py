"""Which machines a simulated farm has: makes, models, addresses and faults, the same for the same plan."""

import ipaddress
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count as count_up

from hosting.catalogue import CATALOGUE, ModelSpec
from hosting.cgminer.simulator.machine import Fault, SimulatedMiner, Traits

FAULTS: tuple[str, ...] = tuple(Fault)
MAKES = {"Bitmain": "Antminer", "MicroBT": "Whatsminer", "Canaan": "Generic"}
# Whose machines each make's firmware runs on.
MAKERS = {
    "Antminer": "Bitmain",
    "LuxOS": "Bitmain",
    "Braiins OS": "Bitmain",
    "VNish": "Bitmain",
    "Whatsminer": "MicroBT",
    "Whatsminer v3": "MicroBT",
    "Avalon": "Canaan",
    "Generic": "Canaan",
}
# What a farm of many years has.
MIXED = {
    "Antminer": 9, "Whatsminer": 5, "Whatsminer v3": 1, "Avalon": 2, "LuxOS": 1.5, "Braiins OS": 1.5, "VNish": 1, "Generic": 0.5,
}  # fmt: skip
WITH_WEB = {"Antminer", "Braiins OS", "VNish"}
MAKE_WEIGHTS = {"Bitmain": 12, "MicroBT": 6, "Canaan": 2}
MAX_PORT = 65_535
CGMINER_PORT = 4028
WEB_PORT = 80
FRAMED_PORT = 4433


@dataclass(frozen=True, slots=True)
class FarmPlan:
    """A farm to be. `faults` gives the share of machines with each fault; a machine has one fault at most.

    `makes` gives the weight of each make in the mix (MIXED is one); without it there are stock firmwares and unknown ones.
    With `ports`, machines have consecutive ports of one address, else consecutive addresses with one port. `web_port` is
    the (first) port of the web interfaces: None for 80, 0 for none.
    """

    count: int
    host: str = "127.10.0.1"
    port: int = CGMINER_PORT
    seed: int = 1
    faults: Mapping[str, float] = field(default_factory=dict)
    ports: bool = False
    web_port: int | None = 0
    speed: float = 1.0
    makes: Mapping[str, float] | None = None


def parse_make(text: str) -> tuple[str, float]:
    """`Avalon=2` to its name and weight; the weight may be left out. Raises ValueError."""
    name, _, weight = text.partition("=")
    if name not in MAKERS:
        raise ValueError(f"There is no make {name!r}. Choose from {', '.join(MAKERS)}.")
    try:
        value = float(weight or 1)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r} needs a weight above 0, e.g. {name}=2.")
    return name, value


def parse_fault(text: str) -> tuple[str, float]:
    """`hang=0.05` to its name and share; raises ValueError."""
    name, separator, share = text.partition("=")
    if name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}. Choose from {', '.join(FAULTS)}.")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not separator or not 0 <= value <= 1:
        raise ValueError(f"{text!r} needs a share from 0 to 1, e.g. {name}=0.05.")
    return name, value


def addresses(count: int, host: str, port: int, *, ports: bool = False) -> list[tuple[str, int]]:
    """So many loopback addresses from the first on, those that end in .0 or .255 left out; or so many ports of one.

    Raises ValueError when the first is not loopback or there are not so many.
    """
    first = ipaddress.ip_address(host)
    if first.version != 4 or not first.is_loopback:
        raise ValueError(f"{host} is not in 127.0.0.0/8: simulated machines live on loopback only.")
    if not 1 <= port <= MAX_PORT or (ports and port + count - 1 > MAX_PORT):
        raise ValueError(f"{count} ports from {port} on are more than there are: choose a lower port.")
    if ports:
        return [(host, port + number) for number in range(count)]
    return [(address, port) for address in _from(first, count)]


def _from(first: ipaddress.IPv4Address, count: int) -> Iterator[str]:
    found = 0
    for number in count_up(int(first)):
        if found == count:
            return
        address = ipaddress.IPv4Address(number)
        if not address.is_loopback:
            raise ValueError(f"There are no {count} loopback addresses from {first} on: choose a lower first address.")
        if number & 0xFF not in {0, 255}:
            found += 1
            yield str(address)


def build_farm(
    count: int,
    host: str = "127.10.0.1",
    port: int = CGMINER_PORT,
    seed: int = 1,
    faults: Mapping[str, float] | None = None,
    *,
    ports: bool = False,
    web_port: int | None = 0,
    speed: float = 1.0,
    makes: Mapping[str, float] | None = None,
) -> list[SimulatedMiner]:
    """The machines of a plan, the same each time; raises ValueError when the plan cannot be."""
    on_ports = ports or host == "127.0.0.1"
    return build(FarmPlan(count, host, port, seed, faults or {}, on_ports, web_port, speed, makes))


def build(plan: FarmPlan) -> list[SimulatedMiner]:
    places = addresses(plan.count, plan.host, plan.port, ports=plan.ports)
    ill = _fault_of_each(plan)
    by_maker = {maker: [spec for spec in CATALOGUE if spec.manufacturer == maker] for maker in MAKE_WEIGHTS}
    rng = random.Random(plan.seed)  # noqa: S311 a farm, not a secret
    weights = {MAKES[maker]: weight for maker, weight in MAKE_WEIGHTS.items()} if plan.makes is None else plan.makes
    makes = rng.choices(list(weights), list(weights.values()), k=plan.count)
    return [
        _build_miner(plan, number, place, make, rng.choice(by_maker[MAKERS[make]]), rng=rng, fault=ill.get(number))
        for number, (place, make) in enumerate(zip(places, makes, strict=True))
    ]


def _build_miner(
    plan: FarmPlan,
    number: int,
    place: tuple[str, int],
    make: str,
    spec: ModelSpec,
    *,
    rng: random.Random,
    fault: str | None,
) -> SimulatedMiner:
    # Two farms of one seed at different addresses are two farms: their machines differ in name.
    names = random.Random(f"{plan.seed} {place[0]} {place[1]}")  # noqa: S311 a farm, not a secret
    old_firmware = rng.random() < 0.5  # stock S19 firmware: takes no joined commands
    web_port = _web_port(plan, number) if make in WITH_WEB else None
    return SimulatedMiner(
        number=number,
        host=place[0],
        port=place[1],
        make=make,
        model=spec,
        serial=f"{make[0]}SIM{names.randrange(16**6):06X}{number:05d}",
        mac="02:" + ":".join(f"{byte:02X}" for byte in (*names.randbytes(2), *number.to_bytes(3, "big"))),
        traits=Traits.drawn(spec, rng),
        fault=fault,
        web_port=web_port,
        framed_port=_framed_port(plan, number) if make == "Whatsminer v3" else None,
        joins=not (make == "Antminer" and old_firmware),
        old_firmware=old_firmware,
        speed=plan.speed,
    )


def _web_port(plan: FarmPlan, number: int) -> int | None:
    if plan.web_port == 0:
        return None
    if plan.ports:  # one address has one port 80
        return None if plan.web_port is None else plan.web_port + number
    return plan.web_port or WEB_PORT


def _framed_port(plan: FarmPlan, number: int) -> int | None:
    """Like the web interfaces where all machines share one address."""
    return _web_port(plan, number) if plan.ports else FRAMED_PORT


def _fault_of_each(plan: FarmPlan) -> dict[int, str]:
    """Which machines are ill, at random but exactly so many of each; a share above zero makes one at least."""
    unknown = [name for name in plan.faults if name not in FAULTS]
    if unknown:
        raise ValueError(f"There is no fault {unknown[0]!r}. Choose from {', '.join(FAULTS)}.")
    names = [name for name, share in plan.faults.items() if share > 0 for _ in range(max(1, round(share * plan.count)))]
    if len(names) > plan.count:
        raise ValueError("The faults' shares add up to more than the whole farm.")
    rng = random.Random(f"faults {plan.seed}")  # noqa: S311 a farm, not a secret
    return dict(zip(rng.sample(range(plan.count), len(names)), names, strict=True))
