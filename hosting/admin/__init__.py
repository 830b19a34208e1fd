from hosting.admin import agents, credentials, inventory, places, telemetry, tickets, upkeep

__all__ = ["agents", "credentials", "inventory", "places", "telemetry", "tickets", "upkeep"]
