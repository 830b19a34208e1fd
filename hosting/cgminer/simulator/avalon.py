"""Canaan's Avalon: everything in one bracketed text, switched by `ascset` at a moment of the machine's own clock."""

from typing import Any

from hosting.cgminer.simulator.envelope import Reply, answer, fixed, pool_list, status
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner

DESCRIPTION = "cgminer 4.11.1"
BUILD = "24041001_08b0955_0196aba"
INFO, OK, INVALID = 118, 119, 120
BOARDS = 3
CHIPS_PER_BOARD = 120
PSU_OUTPUT_V = 13.2
PSU_EFFICIENCY = 0.935
MOMENTARY = {"softoff": SimulatedMiner.stop, "softon": SimulatedMiner.wake}


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply | None:
    """None: it hangs up without a word, as its firmware does at some orders."""
    if request is not None and request.get("command") == "ascset":
        return ascset(miner, str(request.get("parameter", "")))
    return answer(miner, request, COMMANDS, DESCRIPTION)


def ascset(miner: SimulatedMiner, parameter: str) -> Reply | None:
    """`0,softoff,1:<unix time>`, `0,softon,1:<unix time>`, `0,reboot,0`, `0,led,1-1`."""
    number, _, rest = parameter.partition(",")
    option, _, value = rest.partition(",")
    if number != "0":
        return said(miner, "E", 107, f"Invalid ASC id {number} - range is 0 - 0")
    if option in MOMENTARY:
        return switch(miner, option, value)
    if option == "reboot":
        miner.reboot()
        return None
    if option == "led":
        return led(miner, value)
    return said(miner, "E", INVALID, f"ASC 0 set failed: unknown option: {option}")


def switch(miner: SimulatedMiner, option: str, value: str) -> Reply | None:
    kind, _, moment = value.partition(":")
    if kind != "1" or not moment.isdecimal():
        return said(miner, "E", INVALID, f"ASC 0 set failed: invalid {option}")
    MOMENTARY[option](miner, max(int(moment) - miner.device_time, 0))
    if option == "softon" and miner.old_firmware:
        return None
    return said(miner, "I", INFO, f"ASC 0 set info: success {option}:{value}")


def led(miner: SimulatedMiner, value: str) -> Reply:
    """`1-1` on, `1-0` off, `1-255` tells."""
    if value == "1-255":
        return said(miner, "I", INFO, f"ASC 0 set info: LED[{int(miner.blinking)}]")
    miner.blink(value == "1-1")
    return said(miner, "S", OK, "ASC 0 set OK")


def said(miner: SimulatedMiner, letter: str, code: int, message: str) -> Reply:
    return {"STATUS": status(miner, letter, code, message, DESCRIPTION), "id": 1}


def series(miner: SimulatedMiner) -> str:
    """What it calls itself: the A1246 is "1246", the A1566 "15-194"."""
    number = miner.model.name.removeprefix("A")
    return f"15-{194 - 9 * (miner.number % 2)}" if number == "1566" else number


def off(miner: SimulatedMiner) -> bool:
    return miner.phase in {Phase.STOPPING, Phase.SLEEPING}


def psu(miner: SimulatedMiner) -> str:
    """State, controller's and output's centivolts, output's amperes and watts, set-point, and watts at the wall."""
    wall_w = miner.power_w
    output_w = 0 if off(miner) else wall_w * PSU_EFFICIENCY
    volts = 4 if off(miner) else round(PSU_OUTPUT_V * 100)
    return f"0 1214 {volts} {round(output_w / PSU_OUTPUT_V)} {round(output_w)} 1320 {round(wall_w)}"


def ghs(value_ths: float) -> str:
    return f"{value_ths * 1000:.2f}"


def module(miner: SimulatedMiner) -> str:
    """The text under "MM ID0"."""
    asleep, hot_c, rpm = off(miner), round(miner.chip_c), miner.fan_rpm
    now, average = miner.hashrate_ths, miner.hashrate_avg_ths
    maxima = [0 if asleep else hot_c - board for board in range(BOARDS)]
    means = [0 if asleep else hot_c - 9 - board for board in range(BOARDS)]
    parts: dict[str, Any] = {
        "Ver": f"{series(miner)}-{BUILD}",
        "DNA": miner.memory.setdefault("dna", miner.serial.encode().hex()[-16:]),
        "MEMFREE": "1392832.1381104",
        "NETFAIL": "0 0 0 0 0 0 0 0",
        "SYSTEMSTATU": f"Work: In {'Idle' if asleep else 'Work'}, Hash Board: {BOARDS} ",
        "Elapsed": miner.uptime_s,
        "BOOTBY": "0x04.00000000",
        "LW": miner.accepted * 470,
        "MH": "0 0 0",
        "HW": miner.hardware_errors,
        "DH": "1.299%",
        "Temp": round(miner.traits.ambient_c),
        "TMax": max(maxima),
        "TAvg": max(means),
    }
    parts |= {f"Fan{number}": max(rpm - 20 * number, 0) if rpm else 0 for number in range(1, 5)}
    parts |= {
        "FanR": f"{min(rpm * 100 // 7200, 100)}%",
        "Vo": 296,
        "PS": psu(miner),
        "GHSspd": ghs(now),
        "DHspd": "1.299%",
        "GHSmm": ghs(now),
        "GHSavg": ghs(average),
        "WU": f"{average * 13969:.2f}",
        "Freq": "0.00" if asleep else "345.94",
        "Led": int(miner.blinking),
        "MGHS": " ".join(ghs(average / BOARDS) for _ in range(BOARDS)),
        "MTmax": " ".join(map(str, maxima)),
        "MTavg": " ".join(map(str, means)),
        "TA": BOARDS * CHIPS_PER_BOARD,
        "Core": "A3197S",
        "PING": 131,
        "POWS": 0,
        "HASHS": "0 0 0",
        "POOLS": 0,
        "SoftOFF": 5 if asleep else 0,
        "ECHU": "0 0 0",
        "ECMM": 0,
        "CRC": "0 0 0",
        "ADJ": 1,
        "MPO": int(miner.model.power_w),
        "WORKMODE": 1,
    }
    return " ".join(f"{name}[{value}]" for name, value in parts.items())


def stats(miner: SimulatedMiner) -> Reply:
    counters = {"Calls": 0, "Wait": 0.0, "Max": 0.0, "Min": 99999999.0}
    data = {"STATS": 0, "ID": "AVA100", "Elapsed": miner.uptime_s} | counters
    data |= {"MM ID0": module(miner), "MM Count": 1, "Smart Speed": 1, "Voltage Level Offset": 0, "Nonce Mask": 25}
    pool = {"STATS": 1, "ID": "POOL0", "Elapsed": miner.uptime_s} | counters | {"Pool Calls": 0, "Work Diff": 262144.0}
    return {"STATUS": status(miner, "S", 70, "CGMiner stats", DESCRIPTION), "STATS": [data, pool], "id": 1}


def rates(miner: SimulatedMiner) -> Reply:
    """What CGMiner itself reckons: windows that fall slowly, and an average that never does while it sleeps."""
    average = round(miner.hashrate_avg_ths * 1e6, 2)
    fading = round(miner.hashrate_ths * 1e6, 2) if not off(miner) else round(average * 0.4, 2)
    return {"MHS av": average, "MHS 30s": fading, "MHS 1m": fading, "MHS 5m": fading, "MHS 15m": average}


def summary(miner: SimulatedMiner) -> Reply:
    data = {"Elapsed": miner.uptime_s} | rates(miner)
    data |= {
        "Found Blocks": 0,
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Utility": round(miner.traits.shares_per_s * 60, 2),
        "Stale": 0,
        "Last getwork": miner.device_time,
    }
    return {"STATUS": status(miner, "S", 11, "Summary", DESCRIPTION), "SUMMARY": [data], "id": 1}


def devs(miner: SimulatedMiner) -> Reply:
    data = {"ASC": 0, "Name": "AVA10", "ID": 0, "Enabled": "Y", "Status": "Alive", "Temperature": -273.0}
    data |= rates(miner) | {"Accepted": miner.accepted, "Rejected": miner.rejected, "Device Elapsed": miner.uptime_s}
    return {"STATUS": status(miner, "S", 9, "1 ASC(s)", DESCRIPTION), "DEVS": [data], "id": 1}


def identity(miner: SimulatedMiner) -> Reply:
    return {
        "CGMiner": "4.11.1",
        "API": "3.7",
        "STM8": "20.08.01",
        "PROD": f"AvalonMiner {series(miner)}",
        "MODEL": series(miner),
        "HWTYPE": "MM4v2_X3",
        "SWTYPE": "MM319",
        "VERSION": BUILD,
        "LOADER": "d0d779de.00",
        "DNA": miner.memory.setdefault("dna", miner.serial.encode().hex()[-16:]),
        "MAC": miner.mac.replace(":", "").lower(),
        "UPAPI": "2",
    }


def version(miner: SimulatedMiner) -> Reply:
    data = fixed(miner, "identity", identity)
    return {"STATUS": status(miner, "S", 22, "CGMiner versions", DESCRIPTION), "VERSION": [data], "id": 1}


def pools(miner: SimulatedMiner) -> Reply:
    return {"STATUS": status(miner, "S", 7, "2 Pool(s)", DESCRIPTION), "POOLS": pool_list(miner), "id": 1}


COMMANDS = {"summary": summary, "stats": stats, "estats": stats, "devs": devs, "version": version, "pools": pools}
