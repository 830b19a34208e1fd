"""VNish on an Antminer: stock-like replies with power per chain; orders go to its REST interface, after an unlock."""

from collections.abc import Callable

import orjson

from hosting.cgminer.simulator.envelope import Reply, admitted, answer, fixed, new_token, pool_list, status
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner

DESCRIPTION = "cgminer 4.11.1"
RELEASE = "1.2.6"
PASSWORD = "admin"  # noqa: S105 the password machines come with
HOME_PAGE = b"<!doctype html><html><head><title>AnthillOS</title></head><body></body></html>"
BOARDS = 3
FAN_OFFSETS_RPM = (0, 60, 150, 120)


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    return answer(miner, request, COMMANDS, DESCRIPTION)


def state(miner: SimulatedMiner) -> str:
    return {Phase.HASHING: "mining", Phase.STARTING: "starting", Phase.STOPPING: "shutting-down"}.get(
        miner.phase, "stopped"
    )


def header(miner: SimulatedMiner) -> Reply:
    return {
        "Cgminer": "4.11.1",
        "Miner": "uart_trans.1.3",
        "CompileTime": "Sat Jun 24 11:17:59 UTC 2023",
        "Type": f"Antminer {miner.model.name} (Vnish {RELEASE})",
    }


def stats(miner: SimulatedMiner) -> Reply:
    now, average = miner.hashrate_ths * 1000, round(miner.hashrate_avg_ths * 1000, 2)
    hot_c, hashing = round(miner.chip_c), miner.phase in {Phase.HASHING, Phase.STARTING}
    data: Reply = {"STATS": 0, "ID": "BTM_SOC", "Elapsed": miner.uptime_s, "GHS 5s": f"{now:.2f}", "GHS av": average}
    data |= {
        "miner_count": BOARDS,
        "total_acn": 330,
        "frequency": 495,
        "total_rate": round(now, 2),
        "state": state(miner),
    }
    data |= {"fan_num": 4, "fan_mode": 0, "fan_pwm": 25, "temp_num": BOARDS}
    for number, offset in enumerate(FAN_OFFSETS_RPM, 1):
        data[f"fan{number}"] = max(miner.fan_rpm + offset, 0)
    for board in range(1, BOARDS + 1):
        chip_c = hot_c - 2 * (board - 1)
        data |= {
            f"temp{board}": chip_c - 15,
            f"temp2_{board}": chip_c,
            f"temp3_{board}": chip_c,
            f"temp_pcb{board}": f"{chip_c - 36}-{chip_c - 15}",
            f"temp_chip{board}": f"{chip_c - 22}-{chip_c}",
            f"chain_state{board}": state(miner),
            f"chain_acn{board}": 110,
            f"chain_acs{board}": " ".join(["oooooooooo"] * 11),
            f"chain_vol{board}": 12625 if hashing else 0,
            f"chain_rateideal{board}": round(float(miner.model.hashrate_ths) * 1000 / BOARDS, 2),
            f"chain_rate{board}": round(now / BOARDS, 2),
            f"chain_hw{board}": miner.hardware_errors // BOARDS,
            f"chain_consumption{board}": round(miner.power_w / BOARDS),
        }
    data |= {"miner_version": "uart_trans.1.3", "build_version": RELEASE}
    return {
        "STATUS": status(miner, "S", 70, "CGMiner stats", DESCRIPTION),
        "STATS": [fixed(miner, "header", header), data],
        "id": 1,
    }


def summary(miner: SimulatedMiner) -> Reply:
    data = {
        "Elapsed": miner.uptime_s,
        "GHS 5s": f"{miner.hashrate_ths * 1000:.2f}",
        "GHS av": round(miner.hashrate_avg_ths * 1000, 2),
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Stale": 0,
        "Last getwork": miner.device_time,
        "Fee Percent": 2.8,
    }
    return {"STATUS": status(miner, "S", 11, "Summary", DESCRIPTION), "SUMMARY": [data], "id": 1}


def version(miner: SimulatedMiner) -> Reply:
    data = {"API": "3.7"} | fixed(miner, "header", header)
    return {"STATUS": status(miner, "S", 22, "CGMiner versions", DESCRIPTION), "VERSION": [data], "id": 1}


def devs(miner: SimulatedMiner) -> Reply:
    data = {
        "ASC": 0,
        "Name": "BTM_SOC",
        "ID": 0,
        "Enabled": "Y",
        "Status": "Alive",
        "Temperature": round(miner.chip_c - 15),
    }
    data |= {"MHS 5s": round(miner.hashrate_ths * 1e6, 2), "MHS av": round(miner.hashrate_avg_ths * 1e6, 2)}
    return {"STATUS": status(miner, "S", 9, "1 ASC(s)", DESCRIPTION), "DEVS": [data], "id": 1}


def pools(miner: SimulatedMiner) -> Reply:
    return {"STATUS": status(miner, "S", 7, "2 Pool(s)", DESCRIPTION), "POOLS": pool_list(miner), "id": 1}


COMMANDS = {"stats": stats, "summary": summary, "version": version, "devs": devs, "pools": pools}


# The REST interface


def page(miner: SimulatedMiner, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
    """Status and document of a page under /api/v1; its orders are carried out."""
    try:
        document = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return 400, {"err": "bad JSON"}
    name = path.partition("?")[0].removeprefix("/api/v1/")
    if (method, name) in OPEN_PAGES:
        return 200, OPEN_PAGES[method, name](miner)
    if (method, name) == ("POST", "unlock"):
        if not isinstance(document, dict) or document.get("pw") != PASSWORD:
            return 401, {"err": "wrong password"}
        return 200, {"token": new_token(miner)}
    if not admitted(miner, headers):
        return 401, {"err": "unlock first"}
    return PAGES.get((method, name), no_page)(miner, document if isinstance(document, dict) else {})


def no_page(_miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    return 404, {"err": "no such page"}


def info(miner: SimulatedMiner) -> Reply:
    return {
        "miner": f"Antminer {miner.model.name}",
        "model": miner.model.name.lower().replace(" ", ""),
        "fw_name": "Vnish",
        "fw_version": RELEASE,
        "serial": miner.serial,
        "system": {
            "network_status": {"mac": miner.mac, "ip": miner.host, "dhcp": True, "hostname": "Antminer"},
            "uptime": f"{miner.uptime_s // 3600}:{miner.uptime_s // 60 % 60:02d}",
        },
    }


def stop(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    miner.keep_asleep(True)
    miner.stop()
    return 200, None


def start(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    miner.keep_asleep(False)
    miner.wake()
    return 200, None


def restart(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    miner.reboot()
    return 200, None


def find(miner: SimulatedMiner, document: Reply) -> tuple[int, object]:
    miner.blink(bool(document.get("on", not miner.blinking)))
    return 200, {"on": miner.blinking}


def tell_state(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    return 200, {"miner_state": state(miner), "find_miner": miner.blinking, "unlocked": True}


def tell_presets(miner: SimulatedMiner, _document: Reply) -> tuple[int, object]:
    return 200, [{"name": f"{watts}", "pretty": f"{watts} watt", "status": "tuned"} for watts in presets(miner)]


def settings(miner: SimulatedMiner, document: Reply) -> tuple[int, object]:
    """`{"miner": {"overclock": {"preset": "2500"}}}`"""
    for name in ("miner", "overclock"):
        found = document.get(name)
        document = found if isinstance(found, dict) else {}
    wanted = str(document.get("preset"))
    if wanted not in {str(watts) for watts in presets(miner)}:
        return 400, {"err": "unknown preset"}
    miner.limit(int(wanted))
    return 200, {"reboot_required": False, "restart_required": True}


def presets(miner: SimulatedMiner) -> list[int]:
    """Watts that the tuner knows, from low to high."""
    return [round(float(miner.model.power_w) * share / 10) * 10 for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1)]


PAGES: dict[tuple[str, str], Callable[[SimulatedMiner, Reply], tuple[int, object]]] = {
    ("POST", "mining/stop"): stop,
    ("POST", "mining/pause"): stop,
    ("POST", "mining/start"): start,
    ("POST", "mining/resume"): start,
    ("POST", "system/reboot"): restart,
    ("POST", "find-miner"): find,
    ("GET", "status"): tell_state,
    ("GET", "autotune/presets"): tell_presets,
    ("POST", "settings"): settings,
}
OPEN_PAGES: dict[tuple[str, str], Callable[[SimulatedMiner], object]] = {
    ("GET", "/"): lambda _miner: HOME_PAGE,
    ("GET", "info"): info,
}
