from hosting.admin import agents, alerts, inventory, telemetry, upkeep

__all__ = ["agents", "alerts", "inventory", "telemetry", "upkeep"]
