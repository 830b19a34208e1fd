from hosting.admin import agents, inventory, telemetry, upkeep

__all__ = ["agents", "inventory", "telemetry", "upkeep"]
