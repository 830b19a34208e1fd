"""LuxOS on an Antminer: readings in many small commands, orders within a session of which there is one at a time."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from hosting.cgminer.simulator.envelope import Reply, answer, fixed, pool_list, status
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner

RELEASE = "2025.4.8.220305"
DESCRIPTION = f"LUXminer {RELEASE}-7abb6c7e"
SESSION_LIFE_S = 60.0  # of the real clock, since its last use
BOARDS = 3
OK, CURTAILED, SESSION_NEEDED, SESSION_OPEN, BAD_PARAMETER = 304, 335, 301, 402, 400
FAN_OFFSETS_RPM = (0, -60, 120, 60)
CORNERS = {"TopLeft": -2, "TopRight": -16, "BottomLeft": -3, "BottomRight": -18}


@dataclass(slots=True)
class Session:
    number: str
    used: float


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    name = "" if request is None else str(request.get("command", ""))
    if name in SESSIONS:
        return SESSIONS[name](miner, str((request or {}).get("parameter", "")))
    if name in ORDERS:
        number, _, words = str((request or {}).get("parameter", "")).partition(",")
        session = session_of(miner)
        if session is None or number != session.number:
            return refusal(miner, SESSION_NEEDED, "Invalid session id")
        session.used = miner.clock()
        return ORDERS[name](miner, words)
    return answer(miner, request, COMMANDS, DESCRIPTION)


def good(miner: SimulatedMiner, code: int, message: str, section: str = "", *data: Reply) -> Reply:
    return {"STATUS": status(miner, "S", code, message, DESCRIPTION), "id": 1} | (
        {section: list(data)} if section else {}
    )


def refusal(miner: SimulatedMiner, code: int, message: str) -> Reply:
    return {"STATUS": status(miner, "E", code, message, DESCRIPTION), "id": 1}


def session_of(miner: SimulatedMiner) -> Session | None:
    """The open session; one that nobody used for a minute is gone."""
    session = miner.memory.get("session")
    if not isinstance(session, Session) or miner.clock() - session.used > SESSION_LIFE_S:
        return None
    return session


def logon(miner: SimulatedMiner, _parameter: str) -> Reply:
    if session_of(miner) is not None:
        return refusal(miner, SESSION_OPEN, "Another session is active")
    session = miner.memory["session"] = Session(secrets.token_hex(4), miner.clock())
    return good(miner, 315, "Session created", "SESSION", {"SessionID": session.number})


def tell_session(miner: SimulatedMiner, _parameter: str) -> Reply:
    session = session_of(miner)
    return good(miner, 316, "Session information", "SESSION", {"SessionID": session.number if session else ""})


def logoff(miner: SimulatedMiner, parameter: str) -> Reply:
    session = session_of(miner)
    if session is None or parameter != session.number:
        return refusal(miner, SESSION_NEEDED, "Invalid session id")
    del miner.memory["session"]
    return good(miner, 317, "Session terminated")


def curtail(miner: SimulatedMiner, words: str) -> Reply:
    """`sleep` outlasts a reboot."""
    if words not in {"sleep", "wakeup"}:
        return refusal(miner, BAD_PARAMETER, f"Invalid curtail mode '{words}'")
    miner.keep_asleep(words == "sleep")
    if words == "sleep":
        miner.stop()
    else:
        miner.wake()
    return good(miner, CURTAILED, "Curtail mode updated", "CURTAIL", {"Mode": words.capitalize()})


def rebootdevice(miner: SimulatedMiner, _words: str) -> Reply:
    miner.reboot()
    return good(miner, OK, "Device rebooting")


def ledset(miner: SimulatedMiner, words: str) -> Reply:
    colour, _, state = words.partition(",")
    if colour not in {"red", "green"} or state not in {"on", "off", "blink", "auto"}:
        return refusal(miner, BAD_PARAMETER, "Invalid led parameters")
    if colour == "red":
        miner.blink(state == "blink")
    return good(miner, OK, f"LED {colour} set to {state}")


def profile_list(miner: SimulatedMiner) -> list[Reply]:
    """From half to full power, in steps; the last is the default."""
    watts, ths = float(miner.model.power_w), float(miner.model.hashrate_ths)
    return [
        {
            "Profile Name": "default" if share == 1 else f"{round(share * 525)}MHz",
            "Frequency": round(share * 525),
            "Hashrate": round(ths * share, 2),
            "Voltage": 13.4,
            "Watts": round(watts * share),
            "Step": str(round((share - 1) * 10)),
            "IsDynamic": False,
            "IsTuned": True,
        }
        for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1)
    ]


def profileset(miner: SimulatedMiner, words: str) -> Reply:
    """`profile`, or with the board's number before it, as older releases want it."""
    wanted = words.rpartition(",")[2]
    found = next((profile for profile in profile_list(miner) if profile["Profile Name"] == wanted), None)
    if found is None:
        return refusal(miner, BAD_PARAMETER, f"Profile '{wanted}' not found")
    miner.memory["profile"] = wanted
    miner.limit(None if wanted == "default" else found["Watts"])
    return good(miner, 318, "Profile set", "PROFILE", {"Profile": wanted})


def powertargetset(miner: SimulatedMiner, words: str) -> Reply:
    values = dict(part.split("=", 1) for part in words.split(",") if "=" in part)
    watts = values.get("power", values.get("power_target", ""))
    if not watts.isdecimal() or int(watts) < miner.least_w:
        return refusal(miner, BAD_PARAMETER, "Invalid power target")
    miner.limit(int(watts))
    return good(miner, OK, "Power target updated")


def asleep(miner: SimulatedMiner) -> bool:
    return miner.phase in {Phase.STOPPING, Phase.SLEEPING}


def header(miner: SimulatedMiner) -> Reply:
    return {
        "API": "3.7",
        "CompileTime": "Tue Apr 08 22:08:16 UTC 2025",
        "LUXminer": f"{RELEASE}-7abb6c7e",
        "Miner": RELEASE,
        "Type": f"Antminer {miner.model.name}",
    }


def version(miner: SimulatedMiner) -> Reply:
    return good(miner, 22, "LUXminer versions", "VERSION", fixed(miner, "header", header))


def summary(miner: SimulatedMiner) -> Reply:
    now, average = round(miner.hashrate_ths * 1000, 2), round(miner.hashrate_avg_ths * 1000, 2)
    data = {
        "Elapsed": miner.uptime_s,
        "GHS 5s": now,
        "GHS av": average,
        "GHS 1m": now,
        "GHS 15m": average,
        "GHS 30m": average,
    }
    data |= {
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Stale": 0,
        "Last getwork": miner.device_time,
    }
    return good(miner, 11, "Summary", "SUMMARY", data)


def stats(miner: SimulatedMiner) -> Reply:
    now, average = round(miner.hashrate_ths * 1000, 2), round(miner.hashrate_avg_ths * 1000, 2)
    data: Reply = {"STATS": 0, "ID": "LUX0", "Elapsed": miner.uptime_s, "GHS 5s": now, "GHS av": average}
    data |= {
        "miner_count": BOARDS,
        "fan_num": 4,
        "rate_unit": "GH",
        "total_rateideal": float(miner.model.hashrate_ths) * 1000,
    }
    for number, offset in enumerate(FAN_OFFSETS_RPM, 1):
        data[f"fan{number}"] = max(miner.fan_rpm + offset, 0)
    for board in range(BOARDS):
        board_c = round(miner.chip_c) - 12 - 2 * board
        data[f"chain_acn{board + 1}"] = 110
        data[f"chain_rate{board + 1}"] = round(now / BOARDS, 2)
        data[f"temp_pcb{board + 1}"] = "-".join(str(max(board_c + offset, 0)) for offset in CORNERS.values())
        data[f"temp_chip{board + 1}"] = "0-0-0-0"
    return good(miner, 70, "LUXminer stats", "STATS", fixed(miner, "header", header), data)


def devs(miner: SimulatedMiner) -> Reply:
    now = round(miner.hashrate_ths * 1e6 / BOARDS, 2)
    data = [
        {
            "ASC": board,
            "ID": board,
            "Name": f"Hash Board {board}",
            "Connector": f"J{board + 1}",
            "SerialNumber": f"{miner.serial}-{board}",
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": round(miner.chip_c - 14 - 2 * board, 2),
            "MHS 5s": now,
            "MHS 1m": now,
            "MHS av": round(miner.hashrate_avg_ths * 1e6 / BOARDS, 2),
            "Nominal MHS": round(float(miner.model.hashrate_ths) * 1e6 / BOARDS, 2),
            "Hardware Errors": miner.hardware_errors // BOARDS,
            "Device Elapsed": miner.uptime_s,
        }
        for board in range(BOARDS)
    ]
    return good(miner, 9, f"{BOARDS} ASC(s)", "DEVS", *data)


def temps(miner: SimulatedMiner) -> Reply:
    """Four sensors per board; the chips' own are zero where the board has none."""
    rows = []
    for board in range(BOARDS):
        hot_c = miner.chip_c - 2 * board
        row: Reply = {"TEMP": board, "ID": board, "Board": round(hot_c - 14, 2), "Chip": round(hot_c, 2)}
        rows.append(row | {corner: round(hot_c - 12 + offset, 2) for corner, offset in CORNERS.items()})
    labels: list[Reply] = [
        {"Label": "Board Exhaust" if corner.endswith("Left") else "Board Intake", corner: ""} for corner in CORNERS
    ]
    return good(miner, 201, f"{BOARDS} Temp(s)", "TEMPS", *rows) | {"METADATA": labels}


def fans(miner: SimulatedMiner) -> Reply:
    rows: list[Reply] = [
        {"FAN": number, "ID": number, "Connector": f"J{9 + number}", "RPM": max(miner.fan_rpm + offset, 0), "Speed": 70}
        for number, offset in enumerate(FAN_OFFSETS_RPM)
    ]
    return good(miner, 202, f"{len(rows)} Fan(s)", "FANS", *rows)


def power(miner: SimulatedMiner) -> Reply:
    return good(miner, 311, "Power consumption", "POWER", {"PSU": miner.number % 2 == 0, "Watts": round(miner.power_w)})


def config(miner: SimulatedMiner) -> Reply:
    data = {
        "ASC Count": BOARDS,
        "ControlBoardType": "cvitek",
        "CurtailMode": "Sleep" if asleep(miner) else "None",
        "Hostname": f"miner-{miner.number}",
        "IPAddr": miner.host,
        "IsPowerSupplyOn": not asleep(miner),
        "IdealPowerTarget": int(miner.limit_w or miner.model.power_w),
        "MACAddr": miner.mac.lower(),
        "Model": f"Antminer {miner.model.name}",
        "OS": "LuxOS",
        "Profile": miner.memory.get("profile", "default"),
        "RedLed": "blink" if miner.blinking else "off",
        "SerialNumber": miner.serial,
    }
    return good(miner, 33, "LUXminer config", "CONFIG", data)


def profiles(miner: SimulatedMiner) -> Reply:
    return good(miner, 319, "Profiles", "PROFILES", *profile_list(miner))


def pools(miner: SimulatedMiner) -> Reply:
    return good(miner, 7, "2 Pool(s)", "POOLS", *pool_list(miner))


COMMANDS = {
    "summary": summary,
    "stats": stats,
    "devs": devs,
    "temps": temps,
    "fans": fans,
    "power": power,
    "version": version,
    "config": config,
    "profiles": profiles,
    "pools": pools,
}
Command = Callable[[SimulatedMiner, str], Reply]
SESSIONS: dict[str, Command] = {"logon": logon, "session": tell_session, "logoff": logoff}
ORDERS: dict[str, Command] = {
    "curtail": curtail,
    "rebootdevice": rebootdevice,
    "ledset": ledset,
    "profileset": profileset,
    "powertargetset": powertargetset,
}
