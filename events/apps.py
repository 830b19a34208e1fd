from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from events.dispatch import register_pump
        from events.retention import register_rules
        from events.sinks import deliver, fanout  # noqa: F401  fanout's handler registers itself

        register_pump(deliver.pump)
        register_rules()
