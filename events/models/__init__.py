"""Who may run a job, what happened, and where that is sent.

No foreign key leaves this app: events carry ids and plain values, so every other app may use it.
"""

from events.models.endpoints import EndpointKind, EndpointStatus, EventDelivery, EventEndpoint
from events.models.locks import LockLost, SchedulerLock
from events.models.outbox import EventInbox, OutboxAggregate, OutboxEvent, OutboxStatus
from events.models.runs import PeriodicRun, RunOutcome

__all__ = [
    "EndpointKind",
    "EndpointStatus",
    "EventDelivery",
    "EventEndpoint",
    "EventInbox",
    "LockLost",
    "OutboxAggregate",
    "OutboxEvent",
    "OutboxStatus",
    "PeriodicRun",
    "RunOutcome",
    "SchedulerLock",
]
