<<<<<<< HEAD
from hosting.models.commands import CommandBatch, MinerCommand
from hosting.models.discovery import DiscoveredMiner, FindState
=======
from hosting.models.credentials import MinerCredential
>>>>>>> 36842f4bab48dc4482b8bea7386217543fb8e8c4
from hosting.models.inventory import Miner, MinerModel, Site
from hosting.models.limits import SiteOfLimit
from hosting.models.oplog import OperationLog
from hosting.models.prices import ElectricityPrice
from hosting.models.retention import RetentionHold, RetiredDay
from hosting.models.rollups import ClientHour, EnergySource, MinerDay, MinerHour, SiteHour
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
<<<<<<< HEAD
    "CommandBatch",
    "DiscoveredMiner",
    "FindState",
    "Miner",
    "MinerCommand",
=======
    "ClientHour",
    "ElectricityPrice",
    "EnergySource",
    "Miner",
    "MinerCredential",
    "MinerDay",
    "MinerHour",
>>>>>>> f7569588b9d18ddd75b174f22b94f874c7469a8b
    "MinerIdentity",
    "MinerLatest",
    "MinerModel",
    "OperationLog",
    "RetentionHold",
    "RetiredDay",
    "Site",
    "SiteBucket",
    "SiteHour",
    "SiteOfLimit",
    "Telemetry",
    "TelemetryGap",
    "TelemetrySweep",
]
