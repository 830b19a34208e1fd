"""What an agent is told to read, and how it comes back as what a sweep asks."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from hosting.models import Site
from hosting.telemetry.targets import PolledMiner, plain, polled_miners, revive


def targets_of(site: Site) -> dict[str, Any]:
    """The site's machines, those that rest among them (`every` is above 1). Whose they are is nobody's business out there."""
    return {
        "site": {"id": site.pk, "name": site.name},
        "collector": site.collector,
        "miners": [plain(miner) | {"client_id": None} for miner in polled_miners(site)],
    }


def entity_tag(document: Mapping[str, Any]) -> str:
    return f'"{hashlib.sha256(orjson.dumps(document)).hexdigest()[:32]}"'


def machines_of(document: Mapping[str, Any]) -> list[PolledMiner]:
    """The agent's side. Raises KeyError or TypeError for what is not a list of targets."""
    return [revive(dict(known)) for known in document["miners"]]
