from hosting.admin import agents, inventory, places, telemetry, tickets, upkeep

__all__ = ["agents", "inventory", "places", "telemetry", "tickets", "upkeep"]
