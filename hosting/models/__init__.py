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
    "Miner",
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
