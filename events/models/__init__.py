"""Who may run a job, and what happened.

No foreign key leaves this app: events carry ids and plain values, so every other app may use it.
"""

from events.models.locks import LockLost, SchedulerLock
from events.models.outbox import EventInbox, OutboxAggregate, OutboxEvent, OutboxStatus

__all__ = ["EventInbox", "LockLost", "OutboxAggregate", "OutboxEvent", "OutboxStatus", "SchedulerLock"]
