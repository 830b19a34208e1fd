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


class Collector(models.TextChoices):
    """Who reads a site's machines each minute."""

    FARM = "farm", "the farm's workers"
    QUEUE = "queue", "workers on a queue of its own"
    AGENT = "agent", "an agent at the site"
