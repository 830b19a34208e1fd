import asyncio
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from hosting.addresses import AddressRefused, AddressRules
from hosting.cgminer.client import PollResult, poll
from hosting.cgminer.protocol import DEFAULT_PORT
from hosting.cgminer.reading import Reading
from hosting.telemetry.details import board_document
from minefarm.lib.command import FarmCommand

TIMEOUT_S = 3.0
SHOWN = (
    "make",
    "model",
    "firmware",
    "hashrate_ths",
    "hashrate_avg_ths",
    "power_w",
    "power_source",
    "temperature_c",
    "fan_rpm",
    "uptime_s",
    "accepted",
    "rejected",
    "hardware_errors",
    "board_temperature_c",
    "inlet_temperature_c",
)


def parse_address(text: str) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPv6]:PORT` to host and port; raises CommandError."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        raise CommandError(f"{port!r} is no TCP port. CGMiner's is {DEFAULT_PORT}.")
    try:
        return AddressRules(also=tuple(settings.REPLAY_CIDRS)).check(host, int(port)), int(port)
    except AddressRefused as refused:
        raise CommandError(str(refused)) from None


def as_document(result: PollResult) -> dict[str, Any]:
    reading = result.reading or Reading()
    values = asdict(reading)
    return {
        "host": result.host,
        "port": result.port,
        "online": result.reading is not None,
        **{name: shown(values[name]) for name in SHOWN},
        "boards": shown([board_document(board) for board in reading.boards]),
        "error_codes": shown(reading.errors),
        "pool_url": reading.pool_url,
        "pool_worker": reading.pool_worker,
        "error": result.error,
    }


def shown(value: Any) -> Any:
    """Two decimals are what sensors are worth; nothing known is null."""
    return round(value, 2) if isinstance(value, float) else value if value != [] else None


class Command(FarmCommand):
    help = "Read one machine over the CGMiner API and print what it reports. Exits 1 when it cannot be read."
    example = "poll_miner 10.0.3.17 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "address", metavar="HOST[:PORT]", help=f"IP address; the port is {DEFAULT_PORT} unless given"
        )

    def handle(self, *, address: str, json: bool, **_options: Any) -> None:
        host, port = parse_address(address)
        document = as_document(asyncio.run(poll(host, port, timeout_s=TIMEOUT_S, details=True, pool=True)))
        self.emit(document, describe(document), as_json=json)
        if not document["online"]:
            raise SystemExit(1)


def describe(document: dict[str, Any]) -> str:
    """The document for people: a line per value, unknown ones as a dash."""
    if not document["online"]:
        return f"{document['host']}:{document['port']} gives no reading: {document['error']}"
    unknown = "–"
    lines = [f"{document['host']}:{document['port']} is online"]
    for name in SHOWN:
        value = document[name]
        lines.append(f"  {name:20} {unknown if value is None else value}")
    boards = document["boards"] or []
    lines += ["  board " + ", ".join(f"{name} {value}" for name, value in board.items()) for board in boards]
    if document["error_codes"]:
        lines.append(f"  error codes          {', '.join(document['error_codes'])}")
    if document["pool_url"]:
        lines.append(f"  pool                 {document['pool_url']} as {document['pool_worker'] or unknown}")
    return "\n".join(lines)
