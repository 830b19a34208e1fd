from hosting.admin import agents, alerts, credentials, inventory, telemetry, upkeep

__all__ = ["agents", "alerts", "credentials", "inventory", "telemetry", "upkeep"]
