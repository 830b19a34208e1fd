from hosting.models.agents import SiteAgent, SiteToken
from hosting.models.credentials import MinerCredential
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
    "ClientHour",
    "ElectricityPrice",
    "EnergySource",
    "Miner",
    "MinerCredential",
    "MinerDay",
    "MinerHour",
    "MinerIdentity",
    "MinerLatest",
    "MinerModel",
    "OperationLog",
    "RetentionHold",
    "RetiredDay",
    "Site",
    "SiteAgent",
    "SiteBucket",
    "SiteHour",
    "SiteOfLimit",
    "SiteToken",
    "Telemetry",
    "TelemetryGap",
    "TelemetrySweep",
]
