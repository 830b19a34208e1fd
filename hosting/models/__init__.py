from hosting.models.commands import CommandBatch, MinerCommand
from hosting.models.discovery import DiscoveredMiner, FindState
from hosting.models.inventory import Miner, MinerModel, Site
from hosting.models.limits import SiteOfLimit
from hosting.models.oplog import OperationLog
from hosting.models.telemetry import (
    ClientBucket,
    MinerIdentity,
    MinerLatest,
    SiteBucket,
    Telemetry,
    TelemetryGap,
    TelemetrySweep,
)

__all__ = [
    "ClientBucket",
    "CommandBatch",
    "DiscoveredMiner",
    "FindState",
    "Miner",
    "MinerCommand",
    "MinerIdentity",
    "MinerLatest",
    "MinerModel",
    "OperationLog",
    "Site",
    "SiteBucket",
    "SiteOfLimit",
    "Telemetry",
    "TelemetryGap",
    "TelemetrySweep",
]
