import os
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")

from celery.app.amqp import AMQP, Queues

from hosting.telemetry.queues import SITE_QUEUE
from minefarm.schedule import BEAT_SCHEDULE


class FarmQueues(Queues):
    """The declared queues and, when somebody asks for it, that of any one site; every other name is still an error."""

    def __missing__(self, name: str) -> Any:
        if SITE_QUEUE.fullmatch(name):
            return self.add_compat(name)
        return super().__missing__(name)


class FarmAMQP(AMQP):
    queues_cls = FarmQueues


app = Celery("minefarm", amqp=FarmAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = BEAT_SCHEDULE
app.autodiscover_tasks()
