from django.apps import AppConfig


class MinefarmConfig(AppConfig):
    name = "minefarm"
    verbose_name = "MineFarm"

    def ready(self) -> None:
        # The Celery app must exist before a task is sent, and the checks before they are asked for.
        from minefarm import celery, checks  # noqa: F401
