from hosting.admin import inventory, telemetry, upkeep

__all__ = ["inventory", "telemetry", "upkeep"]
