"""A Celery app whose beat ticks every second, for the storm with two schedulers: `celery -A tests.events.ticking ...`."""

import os
from datetime import timedelta

import django
from celery import Celery
from celery.signals import task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
django.setup()  # the modules below need it

from django.db import connection  # noqa: E402

from events.periodic import Run, once_per_period  # noqa: E402
from events.periods import CatchUp, register  # noqa: E402

app = Celery("ticking", set_as_current=True)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_scheduler = "celery.beat:PersistentScheduler"
app.conf.beat_max_loop_interval = 0.2
app.conf.beat_schedule = register(
    {
        "tick": {
            "task": "tests.events.ticking.tick",
            "schedule": timedelta(seconds=1),
            "options": {"expires": 0.9},
            "catch_up": CatchUp.none(),
        }
    }
)


@app.task(name="tests.events.ticking.tick")
@once_per_period
def tick(run: Run) -> None:
    with run.lease.transaction(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO storm_effects (due_at) VALUES (%s)", [run.due_at])


@task_prerun.connect
def count_tick(**_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO storm_ticks DEFAULT VALUES")
