"""States of plans and of the machines in them, and which moves are legal."""

from django.db import models


class PlanType(models.TextChoices):
    MANUAL = "manual", "by hand"
    SCHEDULED = "scheduled", "by schedule"
    AUTOMATIC = "automatic", "by a rule"


class PlanStatus(models.TextChoices):
    PENDING = "pending", "waits for approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    EXECUTED = "executed"
    CANCELLED = "cancelled"


class RecoveryState(models.TextChoices):
    """How far the way back is; `incomplete` is late and goes on for ever."""

    NONE = "none", "nothing was stopped"
    SCHEDULED = "scheduled"
    RECOVERING = "recovering"
    INCOMPLETE = "incomplete", "late, still trying"
    RECOVERED = "recovered"


class Priority(models.TextChoices):
    NORMAL = "normal"
    HIGH = "high"
    EMERGENCY = "emergency"


class Strategy(models.TextChoices):
    """Which machines are stopped first for a target."""

    LEAST_EFFICIENT = "least_efficient", "least efficient first"
    LOWEST_MARGIN = "lowest_margin", "lowest margin first"
    FAIR_SHARE = "fair_share", "fair share over clients"
    TIERS = "tiers", "standard before VIP"
    RACKS = "racks", "whole racks"
    CIRCUITS = "circuits", "whole circuits"
    LISTED = "listed", "the machines that are named"


class Tier(models.TextChoices):
    """Standing of a client or a machine: protected ones are never stopped, VIP ones last."""

    STANDARD = "standard"
    VIP = "vip", "VIP"
    PROTECTED = "protected"


class TargetRole(models.TextChoices):
    """Why a machine is in a plan."""

    SELECTED = "selected", "to be stopped"
    RESERVE = "reserve", "stopped only in another one's place"
    HELD = "held", "off already for another plan; stays off for this one"


class TargetState(models.TextChoices):
    """Of one machine in a plan. `dispatching` is written before any packet; `confirmed` is what was measured."""

    PENDING = "pending"
    DISPATCHING = "dispatching"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed", "off"
    DRIFTED = "drifted", "came back by itself"
    UNREACHABLE = "unreachable"
    RESTORING = "restoring"
    DONE = "done", "on again"
    RELEASED = "released"


PLAN_MOVES: dict[PlanStatus, tuple[PlanStatus, ...]] = {
    PlanStatus.PENDING: (PlanStatus.PENDING, PlanStatus.APPROVED),  # editing voids what was approved
    PlanStatus.APPROVED: (PlanStatus.PENDING,),
    PlanStatus.EXECUTING: (PlanStatus.APPROVED,),
    PlanStatus.EXECUTED: (PlanStatus.EXECUTING,),
    PlanStatus.CANCELLED: (PlanStatus.PENDING, PlanStatus.APPROVED, PlanStatus.EXECUTING, PlanStatus.EXECUTED),
}

RECOVERY_MOVES: dict[RecoveryState, tuple[RecoveryState, ...]] = {
    RecoveryState.SCHEDULED: (RecoveryState.NONE,),
    RecoveryState.RECOVERING: (RecoveryState.SCHEDULED,),
    RecoveryState.INCOMPLETE: (RecoveryState.RECOVERING,),
    RecoveryState.RECOVERED: (RecoveryState.RECOVERING, RecoveryState.INCOMPLETE),
}

# Plans whose machines are, or may yet be, off because of them.
UNRECOVERED = (RecoveryState.SCHEDULED, RecoveryState.RECOVERING, RecoveryState.INCOMPLETE)

# On the way down, and on the way back; a machine never goes from the second to the first within a plan.
GOING_DOWN = (TargetState.PENDING, TargetState.DISPATCHING, TargetState.DISPATCHED, TargetState.DRIFTED)
ENDED = (TargetState.DONE, TargetState.RELEASED)

TARGET_MOVES: dict[TargetState, tuple[TargetState, ...]] = {
    TargetState.PENDING: (TargetState.DISPATCHING, TargetState.DISPATCHED),  # to be sent again
    TargetState.DISPATCHING: (TargetState.PENDING, TargetState.DRIFTED, TargetState.UNREACHABLE),
    TargetState.DISPATCHED: (TargetState.DISPATCHING,),
    TargetState.CONFIRMED: (
        TargetState.PENDING,
        TargetState.DISPATCHING,
        TargetState.DISPATCHED,
        TargetState.DRIFTED,
        TargetState.UNREACHABLE,
    ),
    TargetState.DRIFTED: (TargetState.CONFIRMED,),
    TargetState.UNREACHABLE: (
        TargetState.PENDING,
        TargetState.DISPATCHING,
        TargetState.DISPATCHED,
        TargetState.DRIFTED,
    ),
    TargetState.RESTORING: (
        TargetState.DISPATCHING,
        TargetState.DISPATCHED,
        TargetState.CONFIRMED,
        TargetState.DRIFTED,
        TargetState.UNREACHABLE,
        TargetState.PENDING,
    ),
    TargetState.DONE: (TargetState.RESTORING,),
    TargetState.RELEASED: (
        TargetState.PENDING,
        TargetState.DISPATCHING,
        TargetState.DISPATCHED,
        TargetState.CONFIRMED,
        TargetState.DRIFTED,
        TargetState.UNREACHABLE,
        TargetState.RESTORING,
    ),
}
