"""MicroBT's API v3, by the answers to `get.miner.status` and `get.device.info`; rates are in TH/s."""

from collections.abc import Mapping
from typing import Any

from hosting.cgminer.dialects.boards import codes, hottest_board
from hosting.cgminer.dialects.sections import LONGEST_LIST, text
from hosting.cgminer.reading import Board, Reading

MAKE = "Whatsminer"
Fields = Mapping[str, Any]


def section(reply: Fields, *names: str) -> Any:
    """What stands under these names within the reply's message; None when there is none."""
    found: Any = reply.get("msg")
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def fields(reply: Fields, *names: str) -> Fields:
    found = section(reply, *names)
    return found if isinstance(found, dict) else {}


def parse(status: Fields, about: Fields) -> Reading | None:
    """None when neither tells anything of a miner. A machine whose miner process is down has a message instead: it rests."""
    summary, device = fields(status, "summary"), fields(about, "miner")
    if not summary and not device:
        return None
    reading = Reading(make=MAKE, model=text(device.get("type")), firmware=text(section(about, "system", "fwversion")))
    reading.hashrate_ths = rate(reading, "hashrate_ths", summary.get("hash-realtime"))
    reading.hashrate_avg_ths = rate(reading, "hashrate_avg_ths", summary.get("hash-average"))
    if reading.hashrate_ths is None:
        resting = str(device.get("working", "")).lower() == "false"
        reading.hashrate_ths = 0.0 if resting else reading.hashrate_avg_ths
        reading.hashrate_averaged = not resting
    reading.uptime_s = reading.count("uptime_s", summary.get("bootup-time", summary.get("elapsed")))
    if (elapsed := reading.count("uptime_s", summary.get("elapsed"))) is not None:
        reading.uptime_s = max(reading.uptime_s or 0, elapsed)
    reading.temperature_c = reading.temperature(summary.get("chip-temp-max"))
    reading.fan_rpm = reading.fans(
        summary[name] for name in ("fan-speed-in", "fan-speed-out") if summary.get(name) is not None
    )
    _ = any(key in summary and reading.set_power(summary[key]) for key in ("power-realtime", "power-5min"))
    when = status.get("when")
    reading.device_time = when if type(when) is int and 0 <= when < 2**53 else None
    return reading


def rate(reading: Reading, metric: str, raw: object) -> float | None:
    value = reading.number(metric, raw)
    return None if value is None else round(value, 2)


def rows(found: object) -> list[Fields]:
    return [row for row in found[:LONGEST_LIST] if isinstance(row, dict)] if isinstance(found, list) else []


def detail(reading: Reading, status: Fields, about: Fields) -> None:
    summary = fields(status, "summary")
    told = summary.get("board-temperature")
    board_temperatures = told[:LONGEST_LIST] if isinstance(told, list) else []
    for position, row in enumerate(rows(section(status, "edevs"))):
        board = Board(
            number=position,
            rate_ths=rate(reading, "hashrate_ths", row.get("hash-realtime", row.get("hash-average"))),
            chips=reading.count("chips", row.get("effective-chips")),
            chip_c=reading.temperature(row.get("chip-temp-max")),
        )
        if position < len(board_temperatures):
            board.board_c = reading.temperature(board_temperatures[position])
        reading.boards.append(board)
    reading.board_temperature_c = hottest_board(reading, board_temperatures)
    reading.inlet_temperature_c = reading.temperature(summary.get("environment-temperature"))
    reading.errors = [
        code for row in rows(section(about, "error-code")) for code in codes(list(row)) if code.isdecimal()
    ]
    for pool in rows(section(status, "pools")):
        if pool.get("stratum-active") is True:
            reading.pool_url, reading.pool_worker = text(pool.get("url")), text(pool.get("account"))
