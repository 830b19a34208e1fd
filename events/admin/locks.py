"""Who runs what at the moment, to look at: written by jobs alone."""

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from events.models import SchedulerLock
from minefarm.lib.records import RecordAdmin, age_with_moment, column

LOCK_LABELS = {"held": "success", "free": "default"}


@admin.register(SchedulerLock)
class SchedulerLockAdmin(RecordAdmin):
    list_display = ("lock_key", "state", "hostname", "process_id", "lock_version", "taken", "heartbeat", "expires_at")
    search_fields = ("lock_key", "hostname")
    ordering = ("lock_key",)
    fields = (
        *("lock_key", "hostname", "process_id", "holder", "lock_version"),
        *("acquired_at", "last_heartbeat", "expires_at"),
    )

    @column("state", label=LOCK_LABELS)
    def state(self, lock: SchedulerLock) -> tuple[str, str]:
        state = "held" if lock.expires_at > timezone.now() else "free"
        return state, state

    @column("taken", ordering="acquired_at")
    def taken(self, lock: SchedulerLock) -> SafeString | str:
        return age_with_moment(lock.acquired_at, timezone.now())

    @column("last heartbeat", ordering="last_heartbeat")
    def heartbeat(self, lock: SchedulerLock) -> SafeString | str:
        return age_with_moment(lock.last_heartbeat, timezone.now())
