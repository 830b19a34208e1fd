"""The staff doors of this app: events, endpoints, deliveries, locks and job runs."""

from events.admin.deliveries import EventDeliveryAdmin
from events.admin.endpoints import EventEndpointAdmin
from events.admin.locks import SchedulerLockAdmin
from events.admin.outbox import OutboxEventAdmin
from events.admin.runs import PeriodicRunAdmin

__all__ = ["EventDeliveryAdmin", "EventEndpointAdmin", "OutboxEventAdmin", "PeriodicRunAdmin", "SchedulerLockAdmin"]
