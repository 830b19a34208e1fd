from typing import Any

from django.core.management.base import CommandError, CommandParser

from hosting.discovery import NothingToScan, scan_site
from hosting.management.sites import site_named
from hosting.matching import Scan
from hosting.models import FindState
from minefarm.lib.command import FarmCommand, progress

SHOWN = 30


class Command(FarmCommand):
    help = (
        "Ask every address of a site's networks who is there: machines that moved get their new address, new ones are listed"
        " for adoption, another machine in a known one's place is flagged."
    )
    example = "discover_miners --site North --network 10.0.3.0/24 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", required=True, help="name or id")
        parser.add_argument("--network", metavar="CIDR", help="only this one; all networks of the site unless given")

    def handle(self, *, site: str, network: str | None, json: bool, **_options: Any) -> None:
        where = site_named(site)
        with progress(show=not json) as bar:
            task = bar.add_task("asking addresses", total=None)
            try:
                scan = scan_site(
                    where,
                    network=network,
                    progress=lambda asked, total: bar.update(task, completed=asked, total=total),
                )
            except NothingToScan as nothing:
                raise CommandError(str(nothing)) from None
        document = as_document(scan)
        self.emit(document, describe(document), as_json=json)


def as_document(scan: Scan) -> dict[str, Any]:
    return {
        "site_id": scan.site_id,
        "networks": scan.networks,
        "addresses": scan.addresses,
        "found": len(scan.finds),
        "states": scan.states,
        "failed": scan.failed,
        "finds": [
            {
                "host": find.host,
                "port": find.port,
                "state": state.value,
                "make": find.make,
                "model": find.model,
                "firmware": find.firmware,
                "serial_number": find.serial,
                "mac": find.mac,
            }
            for find, state in scan.finds
        ],
    }


def describe(document: dict[str, Any]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in document["states"].items() if count) or "none"
    lines = [f"{document['addresses']} addresses asked, {document['found']} machines found: {states}"]
    told = [find for find in document["finds"] if find["state"] != FindState.KNOWN]
    lines += [
        f"  {find['host']}:{find['port']} {find['state']}: {find['make'] or ''} {find['model'] or ''}"
        f" {find['serial_number'] or find['mac'] or 'without a name'}"
        for find in told[:SHOWN]
    ]
    if len(told) > SHOWN:
        lines.append(f"  and {len(told) - SHOWN} more: see Discovered in Admin, or use --json")
    return "\n".join(lines)
