"""MicroBT's firmware, API v1 and v2: everything is in `summary`, power included. 92 °C is a normal chip of an older model."""

from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Replies, first, text
from hosting.cgminer.reading import PowerSource, Reading

MAKE = "Whatsminer"
NEEDS = ("summary",)
ASKS_ONCE = ("devdetails",)  # the model's name

MARKS = ("Factory GHS", "Power Mode", "HS RT", "Env Temp", "Upfreq Complete")


def recognises(replies: Replies) -> bool:
    summary = first(replies, "summary")
    return any(mark in summary for mark in MARKS)


def parse(replies: Replies) -> Reading:
    summary = first(replies, "summary")
    reading = Reading(
        make=MAKE,
        model=text(first(replies, "devdetails").get("Model")),
        firmware=text(summary.get("Firmware Version")),
    )
    set_rates(reading, summary)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Uptime", summary.get("Elapsed")))
    reading.temperature_c = reading.hottest([summary.get("Chip Temp Max")])
    if reading.temperature_c is None:
        reading.temperature_c = reading.hottest([summary.get("Temperature")])
    # The power supply's own fan ("Power Fanspeed") is not one of the machine's.
    reading.fan_rpm = reading.fans(summary.get(key) for key in ("Fan Speed In", "Fan Speed Out"))
    reading.power_w = reading.number("power_w", summary.get("Power"))
    reading.power_source = None if reading.power_w is None else PowerSource.MINER
    return reading
