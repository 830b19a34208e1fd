from hosting.admin import agents, credentials, inventory, telemetry, upkeep

__all__ = ["agents", "credentials", "inventory", "telemetry", "upkeep"]
