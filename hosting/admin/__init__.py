from hosting.admin import credentials, inventory, telemetry, upkeep

__all__ = ["credentials", "inventory", "telemetry", "upkeep"]
