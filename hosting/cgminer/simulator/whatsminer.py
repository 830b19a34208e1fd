"""Whatsminer firmware, API v2: readings in clear, write commands sealed with the password `admin`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hosting.cgminer.simulator.envelope import Reply, answer, fixed, pool_list, status
from hosting.cgminer.simulator.machine import Phase, SimulatedMiner
from hosting.cgminer.whatsminer_seal import SealError, seal, session_key, token_sign, unseal

DESCRIPTION = "cgminer 4.9.2"
FLAT_DESCRIPTION = "whatsminer v2.0.4"
FIRMWARE = "20230911.12.REL"
PASSWORD = "admin"  # noqa: S105 the password machines come with
SALT, NEWSALT = "pZq8nVd2", "x5TkRw1c"
TOKEN_LIFE_S = 1800
MAX_TOKENS = 32
REVISIONS = {
    "M20S": ("V10", "V20", "V30"),
    "M30S++": ("VG30", "VG40", "VH60"),
    "M50": ("VE30", "VG30", "VH30"),
    "M50S": ("VH10", "VH20", "VJ30"),
    "M60": ("VK10", "VK20", "VK40"),
    "M60S": ("VK10", "VK20", "VK30"),
}
OK, TOKEN_ERROR, TOO_MANY_TOKENS, DENIED = 131, 135, 136, 45


@dataclass(slots=True)
class Session:
    """What write commands need: the machine's key and the tokens that it gave out, with the moment each ends."""

    key: str = field(default_factory=lambda: session_key(PASSWORD, SALT))
    tokens: dict[str, float] = field(default_factory=dict)

    def drop_expired(self, now: float) -> None:
        self.tokens = {sign: ends for sign, ends in self.tokens.items() if ends > now}


def reply(miner: SimulatedMiner, request: Reply | None) -> Reply:
    if request is not None:
        if "enc" in request:
            return sealed_order(miner, request)
        name = str(request.get("cmd") or request.get("command") or "")
        if name in ORDERS:
            return flat(miner, "E", DENIED, "permission denied")
        if name in FLAT_COMMANDS:
            return FLAT_COMMANDS[name](miner)
        request = {"command": name}
    return answer(miner, request, COMMANDS, DESCRIPTION)


def flat(miner: SimulatedMiner, letter: str, code: int, message: object) -> Reply:
    """The envelope of this make's own commands: STATUS is a bare letter."""
    return {
        "STATUS": letter,
        "When": miner.device_time,
        "Code": code,
        "Msg": message,
        "Description": FLAT_DESCRIPTION,
    }


def session_of(miner: SimulatedMiner) -> Session:
    known = miner.memory.get("session")
    if not isinstance(known, Session):
        known = miner.memory["session"] = Session()
    return known


def get_token(miner: SimulatedMiner) -> Reply:
    session, now = session_of(miner), miner.clock()
    session.drop_expired(now)
    if len(session.tokens) >= MAX_TOKENS:
        return flat(miner, "E", TOO_MANY_TOKENS, "over max clients")
    moment = f"{int(miner.wall_clock() * 1000) % 10_000:04d}"
    session.tokens[token_sign(session.key, moment, NEWSALT)] = now + TOKEN_LIFE_S
    return flat(miner, "S", 134, {"time": moment, "salt": SALT, "newsalt": NEWSALT})


def sealed_order(miner: SimulatedMiner, request: Reply) -> Reply:
    """A write command; answers are sealed as the question was, but for a key that is not ours."""
    session = session_of(miner)
    session.drop_expired(miner.clock())
    try:
        order = unseal(str(request.get("data", "")), session.key)
    except SealError:
        return flat(miner, "E", TOKEN_ERROR, "check token err")
    if order.get("token") not in session.tokens:
        return flat(miner, "E", TOKEN_ERROR, "check token err")
    command = ORDERS.get(str(order.get("cmd", "")))
    if command is None:
        return flat(miner, "E", 14, "invalid cmd")
    try:
        command(miner, order)
    except ValueError:
        return {"enc": seal(flat(miner, "E", 132, "command error"), session.key)}
    return {"enc": seal(flat(miner, "S", OK, "API command OK"), session.key)}


def mhs(value_ths: float) -> float:
    return round(value_ths * 1e6, 2)


def constants(miner: SimulatedMiner) -> Reply:
    return {
        "Firmware Version": f"'{FIRMWARE}'",
        "CB Platform": "ALLWINNER_H6",
        "CB Version": "V10",
        "MAC": miner.mac,
        "Factory GHS": int(miner.model.hashrate_ths * 1000),
        "Power Mode": "Normal",
        "Liquid Cooling": False,
        "Found Blocks": 0,
        "Stale": 0,
        "Error Code Count": 0,
        "Factory Error Code Count": 0,
        "Security Mode": 0,
    }


def summary(miner: SimulatedMiner) -> Reply:
    now_mhs, average_mhs = mhs(miner.hashrate_ths), mhs(miner.hashrate_avg_ths)
    hot_c, power_w, rpm, uptime_s = miner.chip_c, round(miner.power_w), miner.fan_rpm, miner.uptime_s
    data = fixed(miner, "constants", constants) | {
        "Elapsed": max(uptime_s - 60, 0),
        "Uptime": uptime_s,
        "MHS av": average_mhs,
        "MHS 5s": now_mhs,
        "MHS 1m": now_mhs,
        "MHS 5m": now_mhs,
        "MHS 15m": average_mhs,
        "HS RT": now_mhs,
        "Accepted": miner.accepted,
        "Rejected": miner.rejected,
        "Hardware Errors": miner.hardware_errors,
        "Temperature": round(hot_c - 20, 2),
        "Env Temp": round(miner.traits.ambient_c, 1),
        "Chip Temp Min": round(hot_c - 21, 2),
        "Chip Temp Avg": round(hot_c - 8, 2),
        "Chip Temp Max": round(hot_c, 2),
        "Fan Speed In": rpm,
        "Fan Speed Out": rpm + 30 if rpm else 0,
        "Power": power_w,
        "Power Limit": int(miner.limit_w or miner.model.power_w),
        "Power_RT": power_w,
        "Power Fanspeed": 9060,
        "Hash Stable": miner.phase is Phase.HASHING,
        "Pool Rejected%": 0.2857,
        "Utility": round(miner.traits.shares_per_s * 60, 2),
    }
    return {"STATUS": status(miner, "S", 11, "Summary", DESCRIPTION), "SUMMARY": [data], "id": 1}


def devs(miner: SimulatedMiner) -> Reply:
    data = [
        {
            "ASC": board,
            "Name": "SM",
            "ID": board,
            "Slot": board,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": round(miner.chip_c - 20 - board, 2),
            "Chip Temp Max": round(miner.chip_c - 2 * board, 2),
            "MHS 5s": mhs(miner.hashrate_ths / 3),
            "MHS av": mhs(miner.hashrate_avg_ths / 3),
        }
        for board in range(3)
    ]
    return {"STATUS": status(miner, "S", 9, "3 ASC(s)", DESCRIPTION), "DEVS": data, "id": 1}


def full_name(miner: SimulatedMiner) -> str:
    """With the revision of its boards, of which every model has several."""
    revisions = REVISIONS.get(miner.model.name, ("V10",))
    return f"{miner.model.name}_{revisions[miner.number % len(revisions)]}"


def devdetails(miner: SimulatedMiner) -> Reply:
    model = full_name(miner)
    data = [
        {"DEVDETAILS": board, "Name": "SM", "ID": board, "Driver": "bitmicro", "Model": model} for board in range(3)
    ]
    return {"STATUS": status(miner, "S", 69, "Device Details", DESCRIPTION), "DEVDETAILS": data, "id": 1}


def pools(miner: SimulatedMiner) -> Reply:
    return {"STATUS": status(miner, "S", 7, "2 Pool(s)", DESCRIPTION), "POOLS": pool_list(miner), "id": 1}


def get_version(miner: SimulatedMiner) -> Reply:
    return flat(miner, "S", OK, {"api_ver": "2.0.4", "fw_ver": FIRMWARE, "platform": "H6", "chip": "K42E101"})


def operation(miner: SimulatedMiner) -> Reply:
    off = miner.phase in {Phase.STOPPING, Phase.SLEEPING}
    return flat(miner, "S", OK, {"btmineroff": "true" if off else "false", "Firmware Version": f"'{FIRMWARE}'"})


def get_psu(miner: SimulatedMiner) -> Reply:
    return flat(miner, "S", OK, {"name": "P221B", "model": "P221B", "sw_version": "1.2", "fan_speed": "9060"})


def get_miner_info(miner: SimulatedMiner) -> Reply:
    led = "manual" if miner.blinking else "auto"
    return flat(miner, "S", OK, {"ip": miner.host, "mac": miner.mac, "minersn": miner.serial, "ledstat": led})


COMMANDS = {"summary": summary, "devs": devs, "devdetails": devdetails, "pools": pools, "edevs": devs}
FLAT_COMMANDS = {
    "get_token": get_token,
    "get_version": get_version,
    "get_miner_info": get_miner_info,
    "status": operation,
    "get_psu": get_psu,
}


def limit_power(miner: SimulatedMiner, order: Reply) -> None:
    """Raises ValueError for what is no number of watts that it can do."""
    watts = int(str(order.get("power_limit", "")))
    if watts < miner.least_w:
        raise ValueError(watts)
    miner.limit(watts)


def set_led(miner: SimulatedMiner, order: Reply) -> None:
    miner.blink(order.get("param") != "auto" and order.get("color") == "red")


ORDERS: dict[str, Callable[[SimulatedMiner, Reply], None]] = {
    "power_off": lambda miner, _order: miner.stop(),
    "power_on": lambda miner, _order: miner.wake(),
    "reboot": lambda miner, _order: miner.reboot(),
    "adjust_power_limit": limit_power,
    "set_led": set_led,
}
