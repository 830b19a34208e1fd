import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")

from minefarm.schedule import BEAT_SCHEDULE

app = Celery("minefarm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = BEAT_SCHEDULE
app.autodiscover_tasks()
