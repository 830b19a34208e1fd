"""MicroBT's firmware, API v1 and v2: everything is in `summary`, power included. 92 °C is a normal chip of an older model.

"Temperature" is the boards', "Env Temp" the air that goes in. "Power Limit" is a wish; the supply's own fan is none of ours.
"""

from hosting.cgminer.dialects.boards import boards_of_devs, codes, hottest_board, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Fields, Replies, entries, first, text
from hosting.cgminer.reading import Reading

MAKE = "Whatsminer"
NEEDS = ("summary",)
ASKS_ONCE = ("devdetails",)  # the model's name
DETAILS = ("devs|edevs", "get_error_code")

MARKS = ("Factory GHS", "Power Mode", "HS RT", "Env Temp", "Upfreq Complete")
DRIVERS = ("bitmicro", "btminer")
MOST_CODES = 32


def recognises(replies: Replies) -> bool:
    summary = first(replies, "summary")
    return any(mark in summary for mark in MARKS) or first(replies, "devdetails").get("Driver") in DRIVERS


def parse(replies: Replies) -> Reading:
    summary = first(replies, "summary")
    reading = Reading(
        make=MAKE,
        model=text(first(replies, "devdetails").get("Model")),
        firmware=text(summary.get("Firmware Version")),
    )
    set_rates(reading, summary, averages=False)
    if reading.hashrate_ths is None:
        now = reading.number("hashrate_ths", summary.get("HS RT"), 1e-6)
        reading.hashrate_ths = reading.hashrate_avg_ths if now is None else round(now, 2)
        reading.hashrate_averaged = now is None
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Uptime", summary.get("Elapsed")))
    chips = [summary.get("Chip Temp Max"), *(entry.get("Chip Temp Max") for entry in entries(replies, "devs"))]
    reading.temperature_c = reading.hottest(chips)
    # The power supply's own fan ("Power Fanspeed") is not one of the machine's.
    reading.fan_rpm = reading.fans(summary.get(key) for key in ("Fan Speed In", "Fan Speed Out"))
    _ = any(key in summary and reading.set_power(summary[key]) for key in ("Power", "Power_RT"))
    return reading


def detail(reading: Reading, replies: Replies) -> None:
    summary = first(replies, "summary")
    reading.boards = boards_of_devs(reading, replies)
    reading.board_temperature_c = hottest_board(reading, [summary.get("Temperature")])
    reading.inlet_temperature_c = reading.temperature(summary.get("Env Temp"))
    reading.errors = error_codes(summary, replies)
    set_pool(reading, replies)


def error_codes(summary: Fields, replies: Replies) -> list[str]:
    """`Error Code 0` and so on of the summary, and the keys of `get_error_code`: `[{"218": "2024-06-15 10:30:00"}]`."""
    found: list[object] = [summary.get(f"Error Code {place}") for place in range(MOST_CODES)]
    message = (replies.get("get_error_code") or {}).get("Msg")
    told = message.get("error_code") if isinstance(message, dict) else message
    for row in told[:MOST_CODES] if isinstance(told, list) else [told]:
        found += list(row)[:MOST_CODES] if isinstance(row, dict) else [row]
    return [code for code in codes(found) if code.isdecimal()]
