"""A make nobody knows, with CGMiner as its authors left it: `summary` and `devs` tell everything, orders are denied."""

from hosting.cgminer.simulator.envelope import Reply, answer, pool_list, status
from hosting.cgminer.simulator.machine import SimulatedMiner

DESCRIPTION = "cgminer 4.11.1"
BOARDS = 3


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    return answer(miner, request, COMMANDS, DESCRIPTION)


def mhs(value_ths: float) -> float:
    return round(value_ths * 1e6, 2)


def summary(miner: SimulatedMiner) -> Reply:
    data = {
        "Elapsed": miner.uptime_s,
        "MHS av": mhs(miner.hashrate_avg_ths),
        "MHS 5s": mhs(miner.hashrate_ths),
        "Found Blocks": 0,
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Utility": round(miner.traits.shares_per_s * 60, 2),
        "Stale": 0,
        "Pool Rejected%": 0.2857,
    }
    return {"STATUS": status(miner, "S", 11, "Summary", DESCRIPTION), "SUMMARY": [data], "id": 1}


def devs(miner: SimulatedMiner) -> Reply:
    data = [
        {
            "ASC": board,
            "Name": "SIM",
            "ID": board,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": round(miner.chip_c - 3 * board, 1),
            "MHS av": mhs(miner.hashrate_avg_ths / BOARDS),
            "MHS 5s": mhs(miner.hashrate_ths / BOARDS),
            "Accepted": miner.accepted // BOARDS,
            "Rejected": miner.rejected // BOARDS,
            "Hardware Errors": miner.hardware_errors // BOARDS,
            "Device Elapsed": miner.uptime_s,
        }
        for board in range(BOARDS)
    ]
    return {"STATUS": status(miner, "S", 9, f"{BOARDS} ASC(s)", DESCRIPTION), "DEVS": data, "id": 1}


def version(miner: SimulatedMiner) -> Reply:
    data = {"CGMiner": "4.11.1", "API": "3.7"}
    return {"STATUS": status(miner, "S", 22, "CGMiner versions", DESCRIPTION), "VERSION": [data], "id": 1}


def pools(miner: SimulatedMiner) -> Reply:
    return {"STATUS": status(miner, "S", 7, "2 Pool(s)", DESCRIPTION), "POOLS": pool_list(miner), "id": 1}


COMMANDS = {"summary": summary, "devs": devs, "version": version, "pools": pools}
