import asyncio
import contextlib
import errno
import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import uvloop
from django.core.management.base import CommandError, CommandParser

from hosting.addresses import AddressRefused
from hosting.cgminer.simulator import (
    FAULTS,
    MAKERS,
    MIXED,
    SimulatedFarm,
    SimulatedMiner,
    build_farm,
    parse_fault,
    parse_make,
)
from hosting.models import Site
from hosting.simulation import register_simulated
from minefarm.lib.command import FarmCommand

MAX_MINERS = 60_000


class Command(FarmCommand):
    help = "Run simulated miners that speak the real protocol on loopback addresses, until interrupted."
    example = "simulate_fleet --miners 1000 --fault hang=0.05 --fault drip=0.01 --register North"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--miners", type=int, required=True, metavar="N")
        parser.add_argument("--host", default="127.10.0.1", help="first loopback address (default %(default)s)")
        parser.add_argument("--port", type=int, default=4028, help="CGMiner port (default %(default)s)")
        parser.add_argument(
            "--ports", action="store_true", help="consecutive ports of one address instead of consecutive addresses"
        )
        parser.add_argument(
            "--web-port", type=int, help="(first) port of the web interfaces; 80 where it can be had, 0: none"
        )
        parser.add_argument(
            "--seed", type=int, default=1, help="the same seed gives the same farm (default %(default)s)"
        )
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME=SHARE",
            help=f"share of faulty machines, may be repeated; names: {', '.join(FAULTS)}",
        )
        parser.add_argument(
            "--make",
            action="append",
            default=[],
            metavar="NAME=WEIGHT",
            help=f"make to simulate and its weight in the mix, may be repeated; `mixed` for all; names: {', '.join(MAKERS)}",
        )
        parser.add_argument(
            "--register", metavar="SITE", help="put the machines into this site (made if there is none)"
        )
        parser.add_argument("--speed", type=float, default=1.0, help="their seconds pass so many times faster")
        parser.add_argument(
            "--packet-log", type=Path, metavar="FILE", help="one JSON line per order that a machine hears"
        )
        parser.add_argument(
            "--asleep", type=int, default=0, metavar="N", help="so many machines, the last ones, sleep already"
        )
        parser.add_argument("--seconds", type=float, help="stop after this time")

    def handle(self, **options: Any) -> None:
        if not 1 <= options["miners"] <= MAX_MINERS:
            raise CommandError(f"--miners must be from 1 to {MAX_MINERS}.")
        try:
            faults = dict(parse_fault(text) for text in options["fault"])
            miners = build_farm(
                options["miners"],
                host=options["host"],
                port=options["port"],
                seed=options["seed"],
                faults=faults,
                ports=options["ports"] or options["host"] == "127.0.0.1",
                web_port=options["web_port"],
                speed=options["speed"],
                makes=MIXED if "mixed" in options["make"] else dict(map(parse_make, options["make"])) or None,
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        with contextlib.ExitStack() as stack:
            for miner in miners[len(miners) - options["asleep"] :]:
                miner.was_asleep()
            if options["packet_log"] is not None:
                note_orders(miners, stack.enter_context(options["packet_log"].open("a", buffering=1)))
            uvloop.run(self.run(miners, options))

    async def run(self, miners: list[SimulatedMiner], options: dict[str, Any]) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        farm = SimulatedFarm(miners)
        try:
            await farm.start()
        except OSError as error:
            hint = (
                ""
                if error.errno == errno.EMFILE
                else " Another simulator may be running: choose another --host or --port."
            )
            raise CommandError(f"{error.strerror}.{hint}") from None
        try:
            document = {
                "miners": len(miners),
                "first": f"{miners[0].host}:{miners[0].port}",
                "last": f"{miners[-1].host}:{miners[-1].port}",
                "faults": dict(Counter(miner.fault for miner in miners if miner.fault)),
                "makes": dict(Counter(miner.make for miner in miners)),
                "registered": await self.register(miners, options["register"]),
            }
            self.emit(document, describe(document), as_json=options["json"])
            self.stdout.flush()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), options["seconds"])
        finally:
            await farm.stop()

    async def register(self, miners: list[SimulatedMiner], site: str | None) -> dict[str, object] | None:
        if site is None:
            return None
        return await asyncio.to_thread(register, miners, site)


def note_orders(miners: list[SimulatedMiner], file: TextIO) -> None:
    """Write a line for each order at the moment when a machine hears it, whether it obeys or not."""

    def hears(miner: SimulatedMiner, order: str) -> None:
        file.write(json.dumps({"at": time.time(), "serial": miner.serial, "order": order}) + "\n")

    for miner in miners:
        miner.hears = hears


def register(miners: list[SimulatedMiner], name_or_id: str) -> dict[str, object]:
    """Put the machines into the named site; the site is made when there is none of that name."""
    try:
        site = Site.objects.named(name_or_id)
    except Site.DoesNotExist:
        site = Site.objects.create(name=name_or_id)
    except Site.MultipleObjectsReturned:
        raise CommandError(f"Several sites answer to {name_or_id!r}: use the id.") from None
    try:
        added, updated = register_simulated(miners, site=site)
    except AddressRefused as refused:
        raise CommandError(str(refused)) from None
    return {"site": site.name, "site_id": site.pk, "added": added, "updated": updated}


def describe(document: dict[str, Any]) -> str:
    makes = ", ".join(f"{count} {make}" for make, count in sorted(document["makes"].items()))
    faults = ", ".join(f"{count} {fault}" for fault, count in sorted(document["faults"].items()))
    lines = [f"{document['miners']} miners listen on {document['first']} to {document['last']}: {makes}"]
    if faults:
        lines.append(f"faulty: {faults}")
    if registered := document["registered"]:
        lines.append(f"in site {registered['site']} ({registered['added']} new, {registered['updated']} known)")
    lines.append("Ctrl-C stops them.")
    return "\n".join(lines)
