from hosting.admin import commands, credentials, discovery, inventory, telemetry, upkeep

__all__ = ["commands", "credentials", "discovery", "inventory", "telemetry", "upkeep"]
