from hosting.admin import agents, commands, credentials, discovery, inventory, telemetry, upkeep

__all__ = ["agents", "commands", "credentials", "discovery", "inventory", "telemetry", "upkeep"]
