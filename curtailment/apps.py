from importlib import import_module

from django.apps import AppConfig


class CurtailmentConfig(AppConfig):
    name = "curtailment"
    verbose_name = "Curtailment"

    def ready(self) -> None:
        import_module("curtailment.telling")  # mails what the outbox tells it
