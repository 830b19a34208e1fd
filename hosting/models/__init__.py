from hosting.models.agents import SiteAgent, SiteToken
from hosting.models.credentials import MinerCredential
from hosting.models.inventory import Miner, MinerModel, Site
from hosting.models.limits import SiteOfLimit
from hosting.models.oplog import OperationLog
from hosting.models.places import Building, Circuit, Rack
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
from hosting.models.tickets import MaintenanceTicket, TicketComment, TicketPart

__all__ = [
    "Building",
    "Circuit",
    "ClientBucket",
    "ClientHour",
    "ElectricityPrice",
    "EnergySource",
    "MaintenanceTicket",
    "Miner",
    "MinerCredential",
    "MinerDay",
    "MinerHour",
    "MinerIdentity",
    "MinerLatest",
    "MinerModel",
    "OperationLog",
    "Rack",
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
    "TicketComment",
    "TicketPart",
]
