"""A make that we do not know: whatever of hashrate, temperature, fans and uptime it reports under CGMiner's usual names."""

import re
from collections.abc import Iterable, Iterator

from hosting.cgminer.dialects.boards import boards_of_devs, set_pool
from hosting.cgminer.dialects.rates import set_counters, set_rates
from hosting.cgminer.dialects.sections import Fields, Replies, entries, first, text
from hosting.cgminer.reading import Reading

NEEDS = ("summary", "stats", "devs")
ASKS_ONCE = ("version",)
DETAILS: tuple[str, ...] = ()

TEMPERATURE = re.compile(r"temp(?:erature)?[ _]?\w*|chip temp max|t(?:emp)?max", re.IGNORECASE)
FAN = re.compile(r"fan ?(?:speed)?[ _]?(?:\d+|in|out)", re.IGNORECASE)


def recognises(_replies: Replies) -> bool:
    return True


def parse(replies: Replies) -> Reading:
    summary = first(replies, "summary")
    boards = entries(replies, "devs")
    others = [*boards, *entries(replies, "stats")]
    version = first(replies, "version")
    reading = Reading(model=text(version.get("Type")), firmware=text(version.get("Miner") or version.get("CGMiner")))
    set_rates(reading, summary, *others)
    set_counters(reading, summary)
    reading.uptime_s = reading.count("uptime_s", next(found(summary, *others, key="Elapsed"), None))
    reading.temperature_c = reading.hottest(named([summary, *others], TEMPERATURE))
    reading.fan_rpm = [speed for speed in reading.fans(named([summary, *others], FAN)) if speed]
    reading.set_power(next(found(summary, *others, key="Power"), None))
    return reading


def detail(reading: Reading, replies: Replies) -> None:
    """What is called a temperature here may be a chip's or a board's: it is told once, as the machine's."""
    boards = boards_of_devs(reading, replies, temperature_is_board=False)
    reading.boards = [board for board in boards if board.known()]
    set_pool(reading, replies)


def found(*sources: Fields, key: str) -> Iterator[object]:
    """The key's values in the sources that have it."""
    return (source[key] for source in sources if key in source)


def named(sources: Iterable[Fields], name: re.Pattern[str]) -> Iterable[object]:
    """Numbers under keys of that kind; texts under such keys ("temp_state") are no sensors."""
    for source in sources:
        for key, value in source.items():
            if name.fullmatch(key) and isinstance(value, int | float):
                yield value
