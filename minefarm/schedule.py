"""The beat table on one screen: what runs, how often, why.

Beat only sends ticks. Each expires before the next is due, so ticks never pile up behind a busy or stopped worker, and what a
tick starts is guarded by a scheduler lock, so that two beats do no harm. The table is copied to the database when beat
starts, where Admin shows it and may switch entries off.
"""

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # A reading of every machine each minute; the tick fans out to one task per site.
    "telemetry sweep": {
        "task": "hosting.tasks.sweep_sites",
        "schedule": crontab(),
        "options": {"expires": 50},
    },
    # Day partitions a week ahead, indexes for days that are over.
    "telemetry partitions": {
        "task": "hosting.tasks.maintain_partitions",
        "schedule": crontab(minute="17"),
        "options": {"expires": 3000},
    },
    # Attempts to sign in are kept for a year.
    "old sign-ins": {
        "task": "accounts.signins.tasks.forget_old_sign_ins",
        "schedule": crontab(hour="3", minute="41"),
        "options": {"expires": 3600},
    },
}
