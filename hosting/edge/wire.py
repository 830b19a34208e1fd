"""What an agent and the farm say to each other: JSON, one line each, gzip.

Targets (farm to agent): whom to ask. A report (agent to farm): one minute, a list of values for each field, in which the machines
have the same places, and what machines said of themselves where that is new. Amounts are integers of hundredths, as everywhere
in a sweep. Each line is a gzip member of its own, so that a batch is the kept files one after the other.
"""

import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from hosting.cgminer.reading import RANGES, ReadError
from hosting.telemetry.store import Row, SweepFacts
from hosting.telemetry.targets import Identity

MEDIA_TYPE = "application/x-ndjson"
TIME_HEADER = "MineFarm-Time"  # in every answer: the database's clock
MOST_PACKED = 4 * 1024 * 1024
MOST_UNPACKED = 16 * 1024 * 1024
MOST_LINE = 4 * 1024 * 1024
MOST_LINES = 64
MOST_MACHINES = 20_000
MOST_FANS = 16
TEXT_LENGTH = 200
LEVEL = 6
# Field of a row to the range of its metric and the factor that its integer carries.
AMOUNTS = {
    "hashrate_centi_ths": ("hashrate_ths", 100),
    "hashrate_avg_centi_ths": ("hashrate_avg_ths", 100),
    "temperature_centi_c": ("temperature_c", 100),
    "power_centi_w": ("power_w", 100),
    "uptime_s": ("uptime_s", 1),
    "accepted": ("accepted", 1),
    "rejected": ("rejected", 1),
    "hardware_errors": ("hardware_errors", 1),
}
FIELDS = ("miner_id", "error", "power_estimated", "fan_rpm", *AMOUNTS)
REASONS = {str(reason): str(reason) for reason in ReadError}


class Malformed(ValueError):
    """A line that cannot be understood; the message names what is wrong."""


class TooMuch(ValueError):
    """More than the farm takes in one batch; send fewer minutes."""


@dataclass(frozen=True, slots=True)
class Report:
    """One minute of one site as an agent tells it, checked; `foreign` machines are not (any more) the site's."""

    facts: SweepFacts
    rows: list[Row]
    identities: list[Identity]
    foreign: list[int]


# --- packing ----------------------------------------------------------------------------------------------------------


def pack_line(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(orjson.dumps(document) + b"\n", LEVEL, mtime=0)


def unpack_lines(packed: bytes) -> Iterator[bytes]:
    """The lines of a batch, never more than MOST_UNPACKED bytes of them. Raises Malformed or TooMuch."""
    if len(packed) > MOST_PACKED:
        raise TooMuch(f"a batch has at most {MOST_PACKED} bytes")
    bytes_left, lines_left = MOST_UNPACKED, MOST_LINES
    while packed:
        member = zlib.decompressobj(wbits=31)
        try:
            text = member.decompress(packed, bytes_left + 1)  # 0 would mean without a limit
        except zlib.error:
            raise Malformed("the batch is no gzip") from None
        bytes_left -= len(text)
        if bytes_left < 0:
            raise TooMuch(f"a batch has at most {MOST_UNPACKED} bytes when unpacked")
        if not member.eof:
            raise Malformed("the batch ends in the middle")
        packed = member.unused_data
        lines = text.rstrip(b"\n").split(b"\n", lines_left)
        lines_left -= len(lines)
        if lines_left < 0 or any(len(line) > MOST_LINE for line in lines):
            raise TooMuch(f"a batch has at most {MOST_LINES} lines of at most {MOST_LINE} bytes")
        yield from lines


# --- the agent's side -------------------------------------------------------------------------------------------------


def write_report(facts: SweepFacts, rows: Iterable[Row], identities: Sequence[Identity]) -> bytes:
    """One minute, packed. Sorted by machine: neighbours are alike, which is what compression lives on."""
    ordered = sorted(rows, key=lambda row: row.miner_id)
    return pack_line(
        {
            "site": facts.site_id,
            "minute": facts.minute.astimezone(UTC).isoformat(),
            "wall_s": round(facts.wall_s, 3),
            "cpu_s": round(facts.cpu_s, 3),
            "rejected_values": dict(facts.rejected_values),
            "columns": {name: [getattr(row, name) for row in ordered] for name in FIELDS},
            "identities": identities,
        }
    )


# --- the farm's side --------------------------------------------------------------------------------------------------


def read_line(line: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"a line is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise Malformed("a line is an object")
    return document


def read_report(site_id: int, document: Mapping[str, Any], machines: Mapping[int, UUID | None]) -> Report:
    """Check a report against the site's machines (id to client). A value that cannot be is dropped and counted; the rest stays.

    Raises Malformed.
    """
    minute = read_minute(document.get("minute"))
    if document.get("site") != site_id:
        raise Malformed("this minute is of another site than the token")
    rejected: Counter[str] = Counter()
    for name, count in _mapping(document, "rejected_values").items():
        if type(count) is int and 0 < count <= MOST_MACHINES and len(name) <= TEXT_LENGTH and name.isprintable():
            rejected[name] = count
    columns = _columns(document)
    rows, foreign = [], []
    for values in zip(*(columns[name] for name in FIELDS), strict=True):
        miner_id = values[0]
        if miner_id in machines:
            rows.append(_row(miner_id, machines[miner_id], values, rejected))
        else:
            foreign.append(miner_id)
    facts = SweepFacts(site_id, minute, dict(rejected), _seconds(document, "wall_s"), _seconds(document, "cpu_s"))
    said = [_identity(values) for values in _list(document, "identities")]
    return Report(facts, rows, [identity for identity in said if identity[0] in machines], foreign)


def read_minute(value: object) -> datetime:
    try:
        minute = datetime.fromisoformat(value)  # type: ignore[arg-type]  # a TypeError is what other types get
    except (TypeError, ValueError):
        raise Malformed("minute is a time such as 2026-11-23T10:00:00+00:00") from None
    if minute.tzinfo is None or minute.second or minute.microsecond:
        raise Malformed("minute is a whole minute with its offset from UTC")
    try:
        return minute.astimezone(UTC)
    except OverflowError:
        raise Malformed("minute is far outside of our time") from None


def _columns(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    given = _mapping(document, "columns")
    columns = {name: _list(given, name) for name in FIELDS}
    numbers = columns["miner_id"]
    if any(len(column) != len(numbers) for column in columns.values()):
        raise Malformed("each of columns has a value for every machine")
    if any(type(number) is not int for number in numbers):
        raise Malformed("miner_id is a list of integers")
    if len(set(numbers)) != len(numbers):
        raise Malformed("a machine is there twice")
    return columns


# Inclusive bounds of the integers, in the order of AMOUNTS; the names to count a wrong one by.
BOUNDS = [(RANGES[metric][0] * factor, RANGES[metric][1] * factor, metric) for metric, factor in AMOUNTS.values()]
FAN_LOW, FAN_HIGH = RANGES["fan_rpm"]


def _row(miner_id: int, client_id: UUID | None, values: tuple[Any, ...], rejected: Counter[str]) -> Row:
    _, error, estimated, fans, *amounts = values
    if error is not None:
        return Row(miner_id, client_id, REASONS.get(error if isinstance(error, str) else "", ReadError.BAD_JSON.value))
    numbers: list[int | None] = []
    for value, (low, high, metric) in zip(amounts, BOUNDS, strict=True):
        if value is None or (type(value) is int and low <= value <= high):
            numbers.append(value)
        else:
            rejected[f"{metric}:report"] += 1
            numbers.append(None)
    fans = fans if isinstance(fans, list) else []
    believed = tuple(fan for fan in fans[:MOST_FANS] if type(fan) is int and FAN_LOW <= fan <= FAN_HIGH)
    if len(believed) < len(fans):
        rejected["fan_rpm:report"] += 1
    rate, average, temperature, power, *counters = numbers
    uptime, accepted, rejects, faults = counters
    return Row(
        miner_id,
        client_id,
        None,
        rate,
        average,
        temperature,
        power,
        power_estimated=estimated is True,
        fan_rpm=believed,
        uptime_s=uptime,
        accepted=accepted,
        rejected=rejects,
        hardware_errors=faults,
    )


def _seconds(document: Mapping[str, Any], name: str) -> float:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Malformed(f"{name} is a number of seconds")
    return min(max(float(value), 0.0), 3600.0)


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name, [])
    if not isinstance(value, list) or len(value) > MOST_MACHINES:
        raise Malformed(f"{name} is a list of at most {MOST_MACHINES}")
    return value


def _mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict) or len(value) > TEXT_LENGTH:
        raise Malformed(f"{name} is an object")
    return value


def _identity(values: Any) -> Identity:
    if not isinstance(values, list) or len(values) != 5 or type(values[0]) is not int:
        raise Malformed("each of identities is [miner_id, make, model, firmware, command_set]")
    for text in values[1:]:
        if text is not None and (not isinstance(text, str) or len(text) > TEXT_LENGTH or not text.isprintable()):
            raise Malformed("make, model, firmware and command_set are short texts or null")
    return (values[0], values[1], values[2], values[3], values[4])
