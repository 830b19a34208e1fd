"""The beat table on one screen: what runs, how often, what becomes of missed periods, why.

Beat only sends ticks. Each expires before the next is due, so ticks never pile up behind a busy or stopped worker. A task
wears `once_per_period` (events/periodic.py): each of its periods runs once and under a lock, so that two beats do no harm. The
table is copied to the database when beat starts, where Admin shows it and may switch entries off.

A level-triggered pass every few seconds says under "every_tick" why it needs no record of its periods.
"""

from datetime import timedelta
from typing import Any

from celery.schedules import crontab

from events.periods import CatchUp, register

JOBS: dict[str, dict[str, Any]] = {
    # A reading of every machine each minute; the tick fans out to one task per site. A minute that has passed cannot be read.
    "telemetry sweep": {
        "task": "hosting.tasks.sweep_sites",
        "schedule": crontab(),
        "options": {"expires": 50},
        "catch_up": CatchUp.none(),
    },
    # Sites whose agent has not reported for five minutes: their machines go offline, and somebody is told.
    "site agents": {
        "task": "hosting.tasks.watch_site_agents",
        "schedule": crontab(),
        "options": {"expires": 50},
        "catch_up": CatchUp.none(),
    },
    # Day partitions a week ahead, indexes for days that are over.
    "telemetry partitions": {
        "task": "hosting.tasks.maintain_partitions",
        "schedule": crontab(minute="17"),
        "options": {"expires": 3000},
        "catch_up": CatchUp.latest(),
    },
    # Records of job runs are kept for 30 days.
    "job records": {
        "task": "events.tasks.prune_job_runs",
        "schedule": crontab(minute="23", hour="3"),
        "options": {"expires": 80_000},
        "catch_up": CatchUp.latest(),
    },
    # Commands to machines are sent, measured, given up. New ones start at once; this goes on with them.
    "commands": {
        "task": "hosting.tasks.work_commands",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 4},
        "catch_up": CatchUp.none(),
        "every_tick": "claims decide who is at which machine: passes may overlap, and a missed one is made up by the next",
    },
    # Curtailment plans begin, are kept up and are taken back. `run_curtailment --loop` is faster; both may run.
    "curtailment": {
        "task": "curtailment.tasks.run_curtailment",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 4},
        "catch_up": CatchUp.none(),
        "every_tick": "a pass goes by rows and the clock under a lock: a missed one is made up by the next",
    },
    # What armed rules see now: prices, clocks, caps, inlets, signals. A minute that has passed cannot be acted on.
    "curtailment rules": {
        "task": "curtailment.tasks.evaluate_rules",
        "schedule": crontab(),
        "options": {"expires": 50},
        "catch_up": CatchUp.none(),
    },
    # What was published goes out. The wake-up of `dispatch_outbox --loop` is faster; both may run.
    "outbox": {
        "task": "events.tasks.dispatch_outbox",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 4},
        "catch_up": CatchUp.none(),
        "every_tick": "claims decide who sends what: passes may overlap, and a missed one is made up by the next",
    },
    # Sessions whose time is over.
    "old sessions": {
        "task": "accounts.signins.tasks.clear_old_sessions",
        "schedule": crontab(hour="3", minute="31"),
        "options": {"expires": 80_000},
        "catch_up": CatchUp.latest(),
    },
    # Sessions end with the access of their people; those whose access ends soon are told.
    "access": {
        "task": "accounts.tasks.watch_access",
        "schedule": crontab(),
        "options": {"expires": 50},
        "catch_up": CatchUp.none(),
    },
    # What is wrong now: the latest readings against the alert rules.
    "alerts": {
        "task": "hosting.tasks.watch_alerts",
        "schedule": crontab(),
        "options": {"expires": 50},
        "catch_up": CatchUp.none(),
    },
    # Hours of the energy ledger that are over, and those that got late readings.
    "telemetry rollups": {
        "task": "hosting.tasks.roll_up_telemetry",
        "schedule": crontab(minute="6-59/10"),
        "options": {"expires": 500},
        "catch_up": CatchUp.latest(),
    },
    # Price, difficulty, hashprice and what follows. A quarter of an hour that has passed cannot be asked for.
    "market": {
        "task": "analytics.tasks.collect_market",
        "schedule": crontab(minute="*/15"),
        "options": {"expires": 600},
        "catch_up": CatchUp.none(),
    },
    # Indicators of what was imported, or of a price that came when the pass above had gone.
    "indicators": {
        "task": "analytics.tasks.calculate_indicators",
        "schedule": crontab(minute="2-59/15"),
        "options": {"expires": 600},
        "catch_up": CatchUp.latest(),
    },
    # Prices of electricity ahead: tariffs for nine days, day-ahead markets for tomorrow, once they are out in Europe and America.
    "power prices": {
        "task": "analytics.tasks.price_power",
        "schedule": crontab(minute="35", hour="13,16,20"),
        "options": {"expires": 3000},
        "catch_up": CatchUp.latest(),
    },
    # Invoices whose day has passed, and reminders of them. Both look at dates, so one run makes up for all that were missed.
    "overdue invoices": {
        "task": "crm.tasks.mark_overdue",
        "schedule": crontab(minute="10", hour="6"),
        "options": {"expires": 80_000},
        "catch_up": CatchUp.latest(),
    },
    # Plans whose machines are back, once the readings of that time are in.
    "curtailment settlements": {
        "task": "curtailment.tasks.settle_curtailments",
        "schedule": crontab(minute="3-59/5"),
        "options": {"expires": 250},
        "catch_up": CatchUp.latest(),
    },
    # What every app's rules let go, two days of readings at a time.
    "retention": {
        "task": "hosting.tasks.apply_retention",
        "schedule": crontab(minute="41", hour="3"),
        "options": {"expires": 3 * 3600},
        "catch_up": CatchUp.latest(),
    },
}

BEAT_SCHEDULE = register(JOBS)  # as Celery takes it
