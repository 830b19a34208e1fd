from hosting.admin import inventory, telemetry

__all__ = ["inventory", "telemetry"]
