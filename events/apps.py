from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from events.dispatch import register_pump
        from events.sinks import deliver, fanout

        assert fanout.fan_out  # noqa: S101  importing it registers the handler
        register_pump(deliver.pump)
