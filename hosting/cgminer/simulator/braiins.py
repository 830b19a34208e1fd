"""Braiins OS on an Antminer: `pause` and `resume` on the CGMiner port, the other orders through its REST interface."""

from collections.abc import Callable

import orjson

from hosting.cgminer.simulator.envelope import Reply, admitted, answer, new_token, pool_list, status
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner

DESCRIPTION = "BOSer boser-buildroot 0.1.0-26ba61b9"
USER, PASSWORD = "root", "root"
BOARDS = 3
CHIPS_PER_BOARD = 110
TOKEN_LIFE_S = 3600
BOARD_OVERHEAD_W = 75  # fans and control board, of what the miner draws


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    if request is not None and request.get("command") in {"pause", "resume"}:
        return switch(miner, str(request["command"]))
    return answer(miner, request, COMMANDS, DESCRIPTION)


def switch(miner: SimulatedMiner, order: str) -> Reply:
    if order == "pause":
        miner.stop()
        return good(miner, 204, "Pause") | {"PAUSE": [True]}
    miner.wake()
    return good(miner, 205, "Resume") | {"RESUME": [True]}


def good(miner: SimulatedMiner, code: int, message: str, section: str = "", *data: Reply) -> Reply:
    return {"STATUS": status(miner, "S", code, message, DESCRIPTION), "id": 1} | (
        {section: list(data)} if section else {}
    )


def mhs(value_ths: float) -> float:
    return round(value_ths * 1e6, 6)


def rates(miner: SimulatedMiner, parts: int = 1) -> Reply:
    now, average = mhs(miner.hashrate_ths / parts), mhs(miner.hashrate_avg_ths / parts)
    return {"MHS 5s": now, "MHS 1m": now, "MHS 5m": now, "MHS 15m": average, "MHS 24h": average, "MHS av": average}


def summary(miner: SimulatedMiner) -> Reply:
    data = {"Elapsed": miner.uptime_s} | rates(miner)
    data |= {
        "Found Blocks": 0,
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Stale": 0,
        "Last getwork": miner.device_time,
    }
    return good(miner, 11, "Summary", "SUMMARY", data)


def devs(miner: SimulatedMiner) -> Reply:
    data = [
        {
            "ASC": board,
            "ID": board + 1,
            "Name": "",
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": 0.0,
            "Nominal MHS": mhs(float(miner.model.hashrate_ths) / BOARDS),
            "Accepted": miner.accepted // BOARDS,
            "Hardware Errors": miner.hardware_errors // BOARDS,
            "Device Elapsed": miner.uptime_s,
        }
        | rates(miner, BOARDS)
        for board in range(BOARDS)
    ]
    return good(miner, 9, f"{BOARDS} ASC(s)", "DEVS", *data)


def temps(miner: SimulatedMiner) -> Reply:
    rows: list[Reply] = [
        {
            "TEMP": board,
            "ID": board + 1,
            "Board": round(miner.chip_c - 15 - board, 3),
            "Chip": round(miner.chip_c - board, 3),
        }
        for board in range(BOARDS)
    ]
    return good(miner, 201, f"{BOARDS} Temp(s)", "TEMPS", *rows)


def fans(miner: SimulatedMiner) -> Reply:
    rows: list[Reply] = [
        {"FAN": number, "ID": number, "RPM": max(miner.fan_rpm - 60 * number, 0), "Speed": 80} for number in range(4)
    ]
    return good(miner, 202, "4 Fan(s)", "FANS", *rows)


def tunerstatus(miner: SimulatedMiner) -> Reply:
    watts = round(miner.power_w)
    chains = max(watts - BOARD_OVERHEAD_W, 0)
    hashing = miner.phase in {Phase.HASHING, Phase.STARTING}
    limit = int(miner.limit_w or miner.model.power_w)
    data: Reply = {
        "ApproximateChainPowerConsumption": chains,
        "ApproximateMinerPowerConsumption": watts,
        "DynamicPowerScaling": "Disabled",
        "PowerLimit": limit,
        "TunerChainStatus": [
            {
                "ApproximatePowerConsumptionWatt": chains // BOARDS,
                "HashchainIndex": board + 1,
                "Iteration": 0,
                "PowerLimitWatt": limit // BOARDS,
                "StageElapsed": 78,
                "Status": "Stable" if hashing else "Paused",
                "TunerRunning": hashing,
                "TuningElapsed": 98,
            }
            for board in range(BOARDS)
        ],
    }
    return good(miner, 203, "Tuner Status", "TUNERSTATUS", data)


def devdetails(miner: SimulatedMiner) -> Reply:
    rows: list[Reply] = [
        {
            "DEVDETAILS": board,
            "ID": board + 1,
            "Name": f"Hash Chain {board + 1}",
            "Driver": "",
            "Kernel": "",
            "Chips": CHIPS_PER_BOARD,
            "Frequency": 525_000_000,
            "Model": f"Antminer {miner.model.name}",
            "Voltage": 13.1,
        }
        for board in range(BOARDS)
    ]
    return good(miner, 69, "Device Details", "DEVDETAILS", *rows)


def version(miner: SimulatedMiner) -> Reply:
    name, _, build = DESCRIPTION.partition(" ")
    return good(miner, 22, f"{name} versions", "VERSION", {"API": "3.7", name: build})


def pools(miner: SimulatedMiner) -> Reply:
    return good(miner, 7, "2 Pool(s)", "POOLS", *pool_list(miner))


COMMANDS = {
    "summary": summary,
    "devs": devs,
    "temps": temps,
    "fans": fans,
    "tunerstatus": tunerstatus,
    "devdetails": devdetails,
    "version": version,
    "pools": pools,
}


# The REST interface


def page(miner: SimulatedMiner, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
    """Status and document of a page under /api/v1; its orders are carried out."""
    try:
        document = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return 400, {"message": "not JSON"}
    name = path.partition("?")[0].removeprefix("/api/v1/")
    if not isinstance(document, dict):
        document = {"value": document}
    if (method, name) == ("POST", "auth/login"):
        if (document.get("username"), document.get("password")) != (USER, PASSWORD):
            return 401, {"message": "invalid credentials"}
        return 200, {"token": new_token(miner), "timeout_s": TOKEN_LIFE_S}
    if not admitted(miner, headers):
        return 401, {"message": "authentication required"}
    answers = PAGES.get((method, name))
    return (404, {"message": "not found"}) if answers is None else answers(miner, document)


def asleep(miner: SimulatedMiner) -> bool:
    return miner.phase in {Phase.STOPPING, Phase.SLEEPING}


def pause(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    """The answer says whether it was paused already."""
    was = asleep(miner)
    miner.stop()
    return 200, was


def resume(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    was = not asleep(miner)
    miner.wake()
    return 200, was


def restart(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    miner.reboot()
    return 204, None


def locate(miner: SimulatedMiner, document: Reply) -> tuple[int, object]:
    miner.blink(bool(document.get("enable", document.get("value"))))
    return 200, miner.blinking


def power_target(miner: SimulatedMiner, document: Reply) -> tuple[int, object]:
    watts = document.get("watt")
    if not isinstance(watts, int) or watts < miner.least_w:
        return 400, {"message": "power target out of range"}
    miner.limit(watts)
    return 200, {"watt": watts}


def details(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    name = f"Antminer {miner.model.name}"
    return 200, {
        "uid": miner.serial,
        "serial_number": miner.serial,
        "mac_address": miner.mac,
        "hostname": f"miner-{miner.number}",
        "miner_identity": {"name": name, "miner_model": name.upper()},
        "bos_version": {"current": "25.01", "major": "0.1.0"},
        "bosminer_uptime_s": miner.uptime_s,
        "status": 2 if miner.phase is Phase.HASHING else 3,
    }


def figures(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    return 200, {
        "power_stats": {"approximated_consumption": {"watt": round(miner.power_w)}},
        "miner_stats": {"real_hashrate": {"last_5s": {"gigahash_per_second": round(miner.hashrate_ths * 1000, 2)}}},
    }


PAGES: dict[tuple[str, str], Callable[[SimulatedMiner, Reply], tuple[int, object]]] = {
    ("PUT", "actions/pause"): pause,
    ("PUT", "actions/resume"): resume,
    ("PUT", "actions/reboot"): restart,
    ("PUT", "actions/locate"): locate,
    ("GET", "actions/locate"): lambda miner, _document: (200, miner.blinking),
    ("PUT", "performance/power-target"): power_target,
    ("GET", "miner/details"): details,
    ("GET", "miner/stats"): figures,
}
