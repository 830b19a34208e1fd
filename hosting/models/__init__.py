from hosting.models.agents import SiteAgent, SiteToken
from hosting.models.alerts import Alert, AlertRule, AlertSignal, MaintenanceWindow
from hosting.models.commands import CommandBatch, MinerCommand
from hosting.models.credentials import MinerCredential
from hosting.models.discovery import DiscoveredMiner, FindState
from hosting.models.excused import ExcusedStretch
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
from hosting.models.views import SavedView

__all__ = [
    "Alert",
    "AlertRule",
    "AlertSignal",
    "Building",
    "Circuit",
    "ClientBucket",
    "ClientHour",
    "CommandBatch",
    "DiscoveredMiner",
    "ElectricityPrice",
    "EnergySource",
    "ExcusedStretch",
    "FindState",
    "MaintenanceTicket",
    "MaintenanceWindow",
    "Miner",
    "MinerCommand",
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
    "SavedView",
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
