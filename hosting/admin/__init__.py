from hosting.admin import alerts, inventory, telemetry, upkeep

__all__ = ["alerts", "inventory", "telemetry", "upkeep"]
