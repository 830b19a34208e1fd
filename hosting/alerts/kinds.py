"""What can be wrong with a machine, how bad it is, and what becomes of an alert."""

from django.db import models


class AlertKind(models.TextChoices):
    OFFLINE = "offline", "Gives no reading"
    LOW_HASHRATE = "low_hashrate", "Low hashrate"
    HOT_CHIP = "hot_chip", "Too hot"
    DEAD_FAN = "dead_fan", "Fan stands still"
    MISSING_BOARD = "missing_board", "Hash board missing"
    WRONG_POOL = "wrong_pool", "Wrong pool or worker"
    CURTAILED_HASHING = "curtailed_hashing", "Hashes while curtailed"
    UNEXPECTED_IDENTITY = "unexpected_identity", "Another machine than expected"


class Severity(models.TextChoices):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info", "Note"


class AlertState(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


# A move to a state, and from which it is legal. What is resolved stays so: the same trouble again is another alert.
ALERT_MOVES = {
    AlertState.ACKNOWLEDGED: (AlertState.OPEN,),
    AlertState.RESOLVED: (AlertState.OPEN, AlertState.ACKNOWLEDGED),
}
STANDING = (AlertState.OPEN, AlertState.ACKNOWLEDGED)

# Rules that a new farm starts with: kind, severity, threshold, minutes. Without a threshold the model's own limit counts.
FIRST_RULES: tuple[tuple[str, str, int | None, int], ...] = (
    ("offline", "critical", None, 5),
    ("low_hashrate", "warning", 75, 10),
    ("hot_chip", "warning", None, 5),
    ("hot_chip", "critical", None, 1),
    ("dead_fan", "critical", None, 2),
    ("missing_board", "warning", None, 5),
    ("wrong_pool", "critical", None, 5),
    ("curtailed_hashing", "warning", None, 10),
    ("unexpected_identity", "warning", None, 2),
)
