from hosting.admin import inventory, places, telemetry, tickets, upkeep

__all__ = ["inventory", "places", "telemetry", "tickets", "upkeep"]
