"""Air too warm at the machines' inlets: the mean of what they report, above so many degrees for so many minutes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from curtailment.triggers.reading import known_only, number, whole
from curtailment.triggers.wishes import Want, Wish

WINDOW = timedelta(minutes=1)
TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class TemperatureSettings:
    above_c: Decimal
    margin_c: Decimal
    windows_above: int
    windows_below: int
    machines: int  # of fewer the mean says nothing about the hall


def parse(given: Mapping[str, Any]) -> TemperatureSettings:
    """Raises BadSettings."""
    known_only(given, ("above_c", "margin_c", "minutes_above", "minutes_below", "machines"))
    return TemperatureSettings(
        above_c=number(given, "above_c", "-20", "80"),
        margin_c=number(given, "margin_c", "0", "30", "2"),
        windows_above=whole(given, "minutes_above", 1, 240, 10),
        windows_below=whole(given, "minutes_below", 1, 1440, 10),
        machines=whole(given, "machines", 1, 100_000, 3),
    )


def wish(settings: TemperatureSettings, *, inlet_c: Decimal | None, machines: int) -> Wish:
    """`inlet_c` is the mean of `machines` readings that are not stale."""
    if inlet_c is None or machines < settings.machines:
        return Wish(Want.UNKNOWN, f"{machines} machines report their inlet; {settings.machines} are needed")
    told = f"{inlet_c.quantize(TENTH)} °C at the inlets"
    if inlet_c > settings.above_c:
        return Wish(Want.CURTAIL, f"{told} is above {settings.above_c} °C")
    if inlet_c < settings.above_c - settings.margin_c:
        return Wish(Want.RELEASE, f"{told} is below {settings.above_c - settings.margin_c} °C")
    return Wish(Want.KEEP, f"{told} is near {settings.above_c} °C")
