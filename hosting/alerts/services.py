"""What people do with alerts, and how many there are."""

from django.core.cache import cache
from django.db.models import Count, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from hosting.alerts.kinds import ALERT_MOVES, AlertState
from hosting.models import Alert

COUNTS = "alerts:standing"
COUNTS_FOR_S = 20
NOTE_LENGTH = 500


class AlertOver(Exception):
    """The alert is no longer open: somebody took it on, or it is resolved."""


def acknowledge(alerts: "QuerySet[Alert]", *, note: str = "", by: User) -> int:
    """Take alerts on: one UPDATE of those that are open; how many that were."""
    moved = alerts.filter(state__in=ALERT_MOVES[AlertState.ACKNOWLEDGED]).update(
        state=AlertState.ACKNOWLEDGED,
        acknowledged_at=Now(),
        acknowledged_by=by,
        note=note.strip()[:NOTE_LENGTH] or None,
    )
    if moved:
        cache.delete(COUNTS)
    return moved


def acknowledge_one(alert: Alert, *, note: str = "", by: User) -> None:
    """Take one alert on; raises AlertOver."""
    if not acknowledge(Alert.objects.filter(pk=alert.pk), note=note, by=by):
        raise AlertOver("This alert is not open any more: somebody took it on, or it is over. Look at the list again.")


def open_count(user: User) -> int:
    """Open alerts that nobody has taken on, as staff see them; at most one query, and for 20 seconds none."""
    counts: dict[int, int] | None = cache.get(COUNTS)
    if counts is None:
        rows = Alert.objects.on_top().filter(state=AlertState.OPEN).order_by().values_list("site").annotate(Count("pk"))
        counts = dict(rows)
        cache.set(COUNTS, counts, COUNTS_FOR_S)
    return sum(number for site, number in counts.items() if user.site_ids is None or site in user.site_ids)
