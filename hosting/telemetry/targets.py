"""What a sweep asks: the site's machines, kept in a file as well, so that reading goes on while PostgreSQL is away."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models.functions import Coalesce

from hosting.addresses import rules_of
from hosting.models import Miner, Site
from hosting.states import Collector
from minefarm.lib.clock import database_now

Identity = tuple[int, str | None, str | None, str | None, str | None]  # miner, make, model, firmware, command set
# Silent for so long: asked every so many minutes.
PATIENCE = ((timedelta(days=1), 15), (timedelta(hours=1), 5), (timedelta.min, 1))


@dataclass(frozen=True, slots=True)
class PolledMiner:
    """What the collector must know of a machine before it asks."""

    id: int
    host: str
    port: int
    client_id: UUID | None
    efficiency_j_th: Decimal | None
    nameplate_w: Decimal | None
    identity: tuple[str | None, str | None, str | None, str | None]  # make, model, firmware, command set
    every: int = 1  # minutes between two attempts
    forbidden: bool = False  # its address is outside of the networks where machines may be: never connected to

    def is_due(self, minute: datetime) -> bool:
        """Machines that are asked less often take turns, so that no minute has all of them."""
        return (int(minute.timestamp()) // 60 + self.id) % self.every == 0


def minutes_between_attempts(silent: timedelta) -> int:
    """A machine that has long been down costs every sweep a full timeout: it is asked less often."""
    return next(minutes for least, minutes in PATIENCE if silent >= least)


def polled_miners(site: Site) -> list[PolledMiner]:
    """The site's enabled machines with what is known of each, in one query."""
    rows = (
        Miner.objects.polled()
        .filter(site=site)
        .order_by("pk")
        .values_list(
            "pk",
            "cgminer_ip",
            "cgminer_port",
            "client_id",
            "miner_model__efficiency",
            "miner_model__power_consumption",
            "identity__make",
            "identity__model",
            "identity__firmware",
            "identity__command_set",
            "latest__error",
            Coalesce("latest__seen_at", "created_at"),
        )
    )
    now, refusal = database_now(), rules_of(site).judge()
    return [
        PolledMiner(
            id=pk,
            host=str(host),
            port=port,
            client_id=client,
            efficiency_j_th=efficiency,
            nameplate_w=nameplate,
            identity=(make, model, firmware, command_set),
            every=minutes_between_attempts(now - seen_at) if error else 1,
            forbidden=refusal(str(host), port) is not None,
        )
        for pk, host, port, client, efficiency, nameplate, make, model, firmware, command_set, error, seen_at in rows
    ]


_written: dict[Path, int] = {}


class Memory:
    """What was known when the database last answered: each site's machines and how far the host's clock is off.

    One file per site, replaced whole. It holds addresses, so it is readable by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remember(self, site_id: int, miners: Sequence[PolledMiner]) -> None:
        """Write the site down, unless this process wrote the same before."""
        path = self._path(site_id)
        ahead_s = round((datetime.now(UTC) - database_now()).total_seconds())
        known = hash((ahead_s, tuple(miners)))
        if _written.get(path) == known and path.exists():
            return
        content = json.dumps({"clock_ahead_s": ahead_s, "miners": [plain(miner) for miner in miners]})
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        writing = path.with_suffix(f".{os.getpid()}")
        writing.write_text(content)
        writing.chmod(0o600)
        writing.replace(path)
        _written[path] = known

    def sites(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def remember_duty(self, sites: Mapping[int, str]) -> None:
        """Write down which sites workers read, and forget the machines of the others."""
        path = self.folder / "duty"
        content = json.dumps(sites)
        if not path.exists() or path.read_text() != content:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            writing = path.with_suffix(f".{os.getpid()}")
            writing.write_text(content)
            writing.replace(path)
        for site_id in self.sites():
            if site_id not in sites:
                self.forget(site_id)

    def recall_duty(self) -> dict[int, str]:
        """The sites as last written down, or else those that were swept here."""
        try:
            known: dict[str, str] = json.loads((self.folder / "duty").read_text())
        except FileNotFoundError:
            return dict.fromkeys(self.sites(), str(Collector.FARM))
        return {int(site_id): collector for site_id, collector in known.items()}

    def recall(self, site_id: int) -> tuple[list[PolledMiner], datetime] | None:
        """The site's machines and the present minute by the database's clock as last seen; None for an unknown site."""
        try:
            known = json.loads(self._path(site_id).read_text())
        except FileNotFoundError:
            return None
        now = datetime.now(UTC) - timedelta(seconds=known["clock_ahead_s"])
        return [revive(miner) for miner in known["miners"]], now.replace(second=0, microsecond=0)

    def forget(self, site_id: int) -> None:
        self._path(site_id).unlink(missing_ok=True)

    def _path(self, site_id: int) -> Path:
        return self.folder / f"{site_id}.json"


def plain(miner: PolledMiner) -> dict[str, Any]:
    known = asdict(miner)
    return known | {
        name: str(known[name]) for name in ("client_id", "efficiency_j_th", "nameplate_w") if known[name] is not None
    }


def revive(known: dict[str, Any]) -> PolledMiner:
    client, efficiency, nameplate = known["client_id"], known["efficiency_j_th"], known["nameplate_w"]
    return PolledMiner(
        **known
        | {
            "client_id": client and UUID(client),
            "efficiency_j_th": efficiency and Decimal(efficiency),
            "nameplate_w": nameplate and Decimal(nameplate),
            "identity": tuple(known["identity"]),
        }
    )
