from hosting.admin import (
    agents,
    alerts,
    commands,
    credentials,
    discovery,
    inventory,
    places,
    telemetry,
    tickets,
    upkeep,
)

__all__ = [
    "agents",
    "alerts",
    "commands",
    "credentials",
    "discovery",
    "inventory",
    "places",
    "telemetry",
    "tickets",
    "upkeep",
]
