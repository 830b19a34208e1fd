"""States of machines and of commands to them, and which moves are legal."""

from django.db import models


class MinerStatus(models.TextChoices):
    ACTIVE = "active"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"
    CURTAILED = "curtailed"


# The collector moves a miner between these two. Maintenance and curtailed are people's and plans' decisions.
WATCHED = (MinerStatus.ACTIVE, MinerStatus.OFFLINE)

# A person's move to a status, and from which it is legal.
PEOPLES_MOVES = {
    MinerStatus.MAINTENANCE: (MinerStatus.ACTIVE, MinerStatus.OFFLINE),
    MinerStatus.ACTIVE: (MinerStatus.MAINTENANCE,),
}


class CommandStatus(models.TextChoices):
    """Of one command at one machine. `accepted` is the machine's word; `confirmed` is what was measured."""

    QUEUED = "queued"
    SENT = "sent"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    EXPIRED = "expired"
    UNSUPPORTED = "unsupported"


OPEN_COMMANDS = (CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.ACCEPTED)

# To which status a command may move, and from which: each move is one UPDATE with these in its WHERE.
COMMAND_MOVES = {
    CommandStatus.QUEUED: (CommandStatus.SENT,),  # sent without an answer, and harmless to send again
    CommandStatus.SENT: (CommandStatus.QUEUED,),
    CommandStatus.ACCEPTED: (CommandStatus.SENT,),
    CommandStatus.CONFIRMED: (CommandStatus.SENT, CommandStatus.ACCEPTED),
    CommandStatus.FAILED: OPEN_COMMANDS,
    CommandStatus.EXPIRED: OPEN_COMMANDS,
    CommandStatus.UNSUPPORTED: (CommandStatus.QUEUED, CommandStatus.SENT),
}


class TicketStatus(models.TextChoices):
    OPEN = "open"
    IN_PROGRESS = "in_progress", "In progress"
    WAITING_PARTS = "waiting_parts", "Waiting for parts"
    RMA_SENT = "rma_sent", "Sent to the vendor"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Fault(models.TextChoices):
    """Whose fault a machine's silence is; minutes that are not the farm's are excused when uptime is billed."""

    UNKNOWN = "unknown", "Not known yet"
    FARM = "farm"
    CLIENT = "client"
    VENDOR = "vendor"


_AT_WORK = (TicketStatus.OPEN, TicketStatus.IN_PROGRESS, TicketStatus.WAITING_PARTS, TicketStatus.RMA_SENT)

# A ticket's move to a status, and from which it is legal. What is closed stays closed: open another one.
TICKET_MOVES: dict[TicketStatus, tuple[TicketStatus, ...]] = {
    TicketStatus.IN_PROGRESS: (
        TicketStatus.OPEN,
        TicketStatus.WAITING_PARTS,
        TicketStatus.RMA_SENT,
        TicketStatus.RESOLVED,
    ),
    TicketStatus.WAITING_PARTS: (TicketStatus.OPEN, TicketStatus.IN_PROGRESS, TicketStatus.RMA_SENT),
    TicketStatus.RMA_SENT: (TicketStatus.OPEN, TicketStatus.IN_PROGRESS, TicketStatus.WAITING_PARTS),
    TicketStatus.RESOLVED: _AT_WORK,
    TicketStatus.CLOSED: (*_AT_WORK, TicketStatus.RESOLVED),
}


class Collector(models.TextChoices):
    """Who reads a site's machines each minute."""

    FARM = "farm", "the farm's workers"
    QUEUE = "queue", "workers on a queue of its own"
    AGENT = "agent", "an agent at the site"
