"""A miner's status, and what the collector may change of it."""

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


class Collector(models.TextChoices):
    """Who reads a site's machines each minute."""

    FARM = "farm", "the farm's workers"
    QUEUE = "queue", "workers on a queue of its own"
    AGENT = "agent", "an agent at the site"
