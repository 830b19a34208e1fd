"""Stock Antminer firmware: readings over the CGMiner API, no power in them; orders go to its web interface."""

from typing import Any

from hosting.cgminer.simulator.envelope import Reply, answer, fixed, pool_list, status
from hosting.cgminer.simulator.machine import SimulatedMiner

DESCRIPTION = "cgminer 1.0.0"
CHAINS = (1, 2, 3)
FAN_OFFSETS_RPM = (0, -120, -840, -960)
# Each chain's share of the hashrate, and how much cooler it is than the hottest.
CHAIN_SHARES = (0.336, 0.327, 0.337)
CHAIN_COOLER_C = (0, 6, 9)
BOARD_COOLER_C = 5


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    return answer(miner, request, COMMANDS, DESCRIPTION)


def ghs(value_ths: float) -> float:
    return round(value_ths * 1000, 2)


def header(miner: SimulatedMiner) -> Reply:
    old = miner.old_firmware
    return {
        "BMMiner": "1.0.0",
        "Miner": "49.0.1.3" if old else "uart_trans.1.3",
        "CompileTime": "Fri Apr 15 09:41:12 CST 2022" if old else "Mon Nov 20 14:20:07 CST 2023",
        "Type": f"Antminer {miner.model.name}",
    }


def chips(_miner: SimulatedMiner) -> Reply:
    """What a chain has whether it hashes or not."""
    parts: dict[str, Any] = {"STATS": 0, "ID": "BTM_SOC0", "Calls": 0, "Wait": 0, "Max": 0, "Min": 99999999, "Mode": 2}
    for chain in CHAINS:
        parts[f"chain_acn{chain}"] = 110
        parts[f"chain_acs{chain}"] = " oooooooooo" * 11
    return parts | {"miner_count": 3, "fan_num": 4, "temp_num": 3, "total_acn": 330, "rate_unit": "GH"}


def stats(miner: SimulatedMiner) -> Reply:
    now_ghs, average_ghs = ghs(miner.hashrate_ths), ghs(miner.hashrate_avg_ths)
    hot_c, rpm = round(miner.chip_c), miner.fan_rpm
    frequency = 525 if now_ghs else 0
    data = fixed(miner, "chips", chips) | {
        "Elapsed": miner.uptime_s,
        "GHS 5s": now_ghs,
        "GHS av": average_ghs,
        "rate_30m": average_ghs,
        "total_rateideal": ghs(float(miner.model.hashrate_ths)),
        "total rate": average_ghs,
        "frequency": frequency,
        "total_freqavg": frequency,
        "no_matching_work": miner.hardware_errors,
        "temp_max": 0,
        "miner_id": miner.serial,
    }
    for number, offset in enumerate(FAN_OFFSETS_RPM, 1):
        data[f"fan{number}"] = max(rpm + offset, 0)
    for chain, share, cooler_c in zip(CHAINS, CHAIN_SHARES, CHAIN_COOLER_C, strict=True):
        chip_c = hot_c - cooler_c
        board_c = chip_c - BOARD_COOLER_C
        data[f"freq{chain}"] = frequency
        data[f"chain_rate{chain}"] = f"{now_ghs * share:.2f}"
        data[f"chain_hw{chain}"] = miner.hardware_errors // 3
        data[f"temp{chain}"] = board_c
        data[f"temp2_{chain}"] = chip_c
        data[f"temp_chip{chain}"] = f"{chip_c - 21}-{chip_c - 19}-{chip_c - 1}-{chip_c}"
        data[f"temp_pcb{chain}"] = f"{board_c - 21}-{board_c - 19}-{board_c - 1}-{board_c}"
    return {
        "STATUS": status(miner, "S", 70, "CGMiner stats", DESCRIPTION),
        "STATS": [fixed(miner, "header", header), data],
        "id": 1,
    }


def summary(miner: SimulatedMiner) -> Reply:
    average_ghs = ghs(miner.hashrate_avg_ths)
    data = {
        "Elapsed": miner.uptime_s,
        "GHS 5s": ghs(miner.hashrate_ths),
        "GHS av": average_ghs,
        "GHS 30m": average_ghs,
        "Found Blocks": 0,
        "Getwork": miner.accepted,
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Utility": round(miner.traits.shares_per_s * 60, 2),
        "Stale": 0,
        "Device Hardware%": 0.0,
        "Device Rejected%": 0.0,
        "Pool Rejected%": 0.2857,
        "Last getwork": miner.device_time,
    }
    return {"STATUS": status(miner, "S", 11, "Summary", DESCRIPTION), "SUMMARY": [data], "id": 1}


def version(miner: SimulatedMiner) -> Reply:
    data = {"API": "3.1"} | fixed(miner, "header", header)
    return {"STATUS": status(miner, "S", 22, "CGMiner versions", DESCRIPTION), "VERSION": [data], "id": 1}


def devs(miner: SimulatedMiner) -> Reply:
    """The whole machine as one device; this firmware leaves its figures at zero."""
    device = {"ASC": 0, "Name": "BTM_SOC", "ID": 0, "Enabled": "Y", "Status": "Alive", "MHS 5s": 0.0, "MHS av": 0.0}
    data = device | {"Temperature": 0.0, "Accepted": miner.accepted, "Device Elapsed": miner.uptime_s}
    return {"STATUS": status(miner, "S", 9, "1 ASC(s)", DESCRIPTION), "DEVS": [data], "id": 1}


def pools(miner: SimulatedMiner) -> Reply:
    return {"STATUS": status(miner, "S", 7, "2 Pool(s)", DESCRIPTION), "POOLS": pool_list(miner), "id": 1}


COMMANDS = {"stats": stats, "summary": summary, "version": version, "devs": devs, "pools": pools}
