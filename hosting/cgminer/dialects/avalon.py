"""Canaan's Avalon: nearly everything in one text of `NAME[values]` per module, in `stats`, `estats` or `litestats`.

GHSspd is the rate now; GHSmm is what the frequency promises, GHSavg and CGMiner's windows outlast a sleep for minutes or
for ever. Of `PS[...]` the seventh value is the wall's watts: the fifth is the supply's output, the sixth a set-point.
"""

import re
from collections.abc import Mapping, Sequence

from hosting.cgminer.dialects.boards import codes, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import LONGEST_LIST, Fields, Replies, entries, first, text
from hosting.cgminer.reading import Board, Reading

MAKE = "Avalon"
NEEDS = ("summary", "stats|estats|litestats")
ASKS_ONCE = ("version",)
DETAILS: tuple[str, ...] = ()

STATS = ("stats", "estats", "litestats")
MAX_TEXT = 128 * 1024
MAX_MODULES = 32
PAIR = re.compile(r"(\w+)\[([^\]]*)\]")
MODULE = re.compile(r"MM ID\d+")
FAN = re.compile(r"Fan\d*")
CHIPS = re.compile(r"PVT_T\d*")
WALL, OUTPUT = 6, 5
GHS = 1e-3
# Series whose name is not the model's number.
SERIES = {"15": "A1566"}

Values = Mapping[str, str]


def recognises(replies: Replies) -> bool:
    if modules(replies):
        return True
    version = first(replies, "version")
    return any(isinstance(version.get(key), str) and version[key].startswith(MAKE) for key in ("PROD", "Type", "MODEL"))


def modules(replies: Replies) -> list[str]:
    """The modules' texts: one on machines of this decade, several behind one controller before.

    A module may be told twice, as "MM ID0" and "MM ID0:Summary"; an empty text is none.
    """
    found: dict[str, str] = {}
    for command in STATS:
        for entry in entries(replies, command):
            for key, value in entry.items():
                number = MODULE.match(key)
                if number and isinstance(value, str) and ("Ver[" in value or "Elapsed[" in value):
                    found.setdefault(number[0], value)
        if found:
            break
    return list(found.values())[:MAX_MODULES]


def parse(replies: Replies) -> Reading:
    told = [dict(PAIR.findall(module[:MAX_TEXT])) for module in modules(replies)]
    summary, version = first(replies, "summary"), first(replies, "version")
    lead = told[0] if told else {}
    reading = Reading(make=MAKE, model=model(lead, version), firmware=firmware(lead, version))
    set_hashrate(reading, told, summary)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", summary.get("Elapsed", lead.get("Elapsed")))
    reading.temperature_c = reading.hottest(chip for values in told for chip in chip_temperatures(values))
    reading.fan_rpm = reading.fans(values[name] for values in told for name in sorted(filter(FAN.fullmatch, values)))
    set_wall_power(reading, told)
    return reading


def model(values: Values, version: Fields) -> str | None:
    """`A1246` of Ver[1246-83-21061101_4ec6bb0], else what `version` calls it."""
    series = values.get("Ver", "").partition("-")[0]
    if not series:
        series = str(version.get("MODEL") or "").partition("-")[0]
    if series in SERIES:
        return SERIES[series]
    if series.isascii() and series.isalnum() and series[0].isdigit():
        return text(f"A{series}")
    product = text(version.get("PROD"))
    return product or (text(f"Avalon {series}") if series else None)


def firmware(values: Values, version: Fields) -> str | None:
    return text(values.get("Ver", "").rpartition("-")[2]) or text(version.get("VERSION"))


def asleep(values: Values) -> bool:
    """Whether it was put to sleep: it says so itself, or that it idles."""
    return values.get("SoftOFF", "0").strip() not in {"", "0"} or "In Idle" in values.get("SYSTEMSTATU", "")


def set_hashrate(reading: Reading, told: Sequence[Values], summary: Fields) -> None:
    """GHSspd wins; the windows of `summary` speak only for firmware that has none, or leaves it at zero while it works."""
    sleeping = bool(told) and all(map(asleep, told))
    set_rates(reading, summary, asleep=sleeping, averages=False)
    now = total(reading, told, "GHSspd")
    if now or sleeping:
        reading.hashrate_ths = now or 0.0
    elif now is not None and (reading.hashrate_ths is None or not any(map(draws_power, told))):
        reading.hashrate_ths = now
    average = total(reading, told, "GHSavg")
    if average is not None:
        reading.hashrate_avg_ths = average
    if reading.hashrate_ths is None:
        reading.hashrate_ths = total(reading, told, "GHSmm")
        reading.hashrate_averaged = True


def draws_power(values: Values) -> bool:
    """Whether the supply feeds the boards, or what it feeds is unknown."""
    supply = numbers(values.get("PS", ""))
    return len(supply) < OUTPUT or supply[OUTPUT - 1] > 0


def total(reading: Reading, told: Sequence[Values], name: str) -> float | None:
    """The sum over the modules that tell it, TH/s."""
    known = [
        rate
        for values in told
        if name in values and (rate := reading.number("hashrate_ths", values[name], GHS)) is not None
    ]
    return round(sum(known), 2) if known else None


def numbers(words: str) -> list[float]:
    """The values of a list; what is none of them becomes -1, so that the others keep their places."""
    found = []
    for word in words.split()[:LONGEST_LIST]:
        try:
            value = float(word) if len(word) < 16 else -1.0
        except ValueError:
            value = -1.0
        found.append(value if -1e9 < value < 1e9 else -1.0)
    return found


def set_wall_power(reading: Reading, told: Sequence[Values]) -> None:
    known = []
    for values in told:
        watts = reading.number("power_w", values.get("WALLPOWER"))
        if watts is None:
            supply = numbers(values.get("PS", ""))
            place = OUTPUT if values.get("Ver", "").lower().startswith("nano3-") and supply[3:4] == [4] else WALL
            watts = reading.number("power_w", supply[place]) if len(supply) > WALL else None
        if watts is not None:
            known.append(watts)
    if known:
        reading.set_power(sum(known))


def chip_temperatures(values: Values) -> list[object]:
    """TMax, else the boards' maxima, else every chip's own sensor."""
    for name in ("TMax", "MTmax"):
        hot = [value for value in numbers(values.get(name, "")) if value > 0]
        if hot:
            return list(hot)
    return [value for name in values if CHIPS.fullmatch(name) for value in numbers(values[name]) if value > 0]


def detail(reading: Reading, replies: Replies) -> None:
    told = [dict(PAIR.findall(module[:MAX_TEXT])) for module in modules(replies)]
    for values in told:
        reading.boards += boards(reading, values, len(reading.boards))
        reading.errors += errors(values)
    if told:
        reading.inlet_temperature_c = reading.hottest(told[0].get(name) for name in ("ITemp", "Temp"))
        reading.board_temperature_c = reading.hottest(values.get("HBOTemp") for values in told)
    set_pool(reading, replies)


def boards(reading: Reading, values: Values, first_number: int) -> list[Board]:
    rates, hottest = numbers(values.get("MGHS", "")), numbers(values.get("MTmax", ""))
    wrong = numbers(values.get("MH", ""))
    chips = [
        len([value for value in numbers(values[name]) if value > 0]) for name in sorted(filter(CHIPS.fullmatch, values))
    ]
    expected = numbers(values.get("TA", ""))
    sleeping = asleep(values)
    found = []
    for number in range(max(len(rates), len(hottest))):
        board = Board(first_number + number)
        if number < len(rates):
            board.rate_ths = 0.0 if sleeping else reading.number("hashrate_ths", rates[number], GHS)
        if number < len(hottest):
            board.chip_c = reading.temperature(hottest[number])
        if number < len(chips):
            board.chips = chips[number]
        if expected and expected[0] > 0:
            board.chips_expected = int(expected[0]) // max(len(rates), len(hottest))
        if number < len(wrong):
            board.errors = reading.count("hardware_errors", wrong[number])
        found.append(board)
    return found


def errors(values: Values) -> list[str]:
    """Boards' and modules' error bits that are not zero, by the firmware's names for them."""
    found = []
    for name in ("ECHU", "ECMM", "FanErr", "PCOMM_E"):
        words = values.get(name, "").split()[:LONGEST_LIST]
        found += [
            f"{name}{place if len(words) > 1 else ''}:{word}" for place, word in enumerate(words) if word.strip("0")
        ]
    supply = values.get("PS", "").split()
    if supply and supply[0].strip("0"):
        found.append(f"PS:{supply[0]}")
    return codes(found)
