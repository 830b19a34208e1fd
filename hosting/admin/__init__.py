from hosting.admin import agents, alerts, commands, credentials, discovery, inventory, telemetry, upkeep

__all__ = ["agents", "alerts", "commands", "credentials", "discovery", "inventory", "telemetry", "upkeep"]
