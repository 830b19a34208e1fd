"""The beat schedule in the admin. Entries of minefarm/schedule.py may be switched off here; the rest of them is code."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat.admin import (
    CrontabScheduleAdmin as BeatCrontabAdmin,
    PeriodicTaskAdmin as BeatTaskAdmin,
    PeriodicTaskForm,
    TaskSelectWidget,
)
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from minefarm.schedule import BEAT_SCHEDULE

for scheduled in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(scheduled)

BY_HAND = ("enabled",)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The registered tasks in the admin's look."""


class TaskForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatTaskAdmin, ModelAdmin):
    form = TaskForm
    list_display = ("name", "task", "enabled", "schedule_shown", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    date_hierarchy = None

    @admin.display(description="schedule")
    def schedule_shown(self, task: PeriodicTask) -> str:
        return str(task.crontab.human_readable if task.crontab else task.scheduler)

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        if not in_code(obj):
            return super().get_fieldsets(request, obj)
        shown = (
            "name",
            "task",
            *BY_HAND,
            "schedule_shown",
            "last_run_at",
            "total_run_count",
            "expire_seconds",
            "queue",
        )
        note = "Set in minefarm/schedule.py and copied here when beat starts; here it may be switched off."
        return ((None, {"fields": shown, "description": note}),)

    def get_readonly_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        own = super().get_readonly_fields(request, obj)
        if not in_code(obj):
            return own
        return (*own, *(f.name for f in PeriodicTask._meta.fields if f.name not in BY_HAND), "schedule_shown")  # noqa: SLF001  public by documentation

    def get_form(
        self, request: HttpRequest, obj: PeriodicTask | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if in_code(obj):
            kwargs["form"] = forms.ModelForm  # beat's own form insists on choosing the task
        return super().get_form(request, obj, change=change, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        return not in_code(obj) and super().has_delete_permission(request, obj)


def in_code(task: PeriodicTask | None) -> bool:
    """Whether beat writes the entry again at its next start: ours, and the ones that Celery adds itself."""
    return task is not None and (task.name in BEAT_SCHEDULE or task.name.startswith("celery."))


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    list_display = ("__str__", "every", "period")


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabAdmin, ModelAdmin):
    inlines = ()
