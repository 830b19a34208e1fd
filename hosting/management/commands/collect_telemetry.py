from typing import Any

from django.core.management.base import CommandError, CommandParser

from events.models import LockLost
from hosting.management.sites import site_named
from hosting.models import Site
from hosting.telemetry.collector import SweepBusy, SweepReport, sweep_site
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = "Read every enabled machine once and store the minute: one sweep, of one site or of all."
    example = "collect_telemetry --site North --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", help="name or id; all sites unless given")

    def handle(self, *, site: str | None, json: bool, **_options: Any) -> None:
        sites = [site_named(site)] if site else list(Site.objects.all())
        reports: list[SweepReport] = []
        refused: list[str] = []
        with progress(show=not json) as bar:
            for one in bar.track(sites, description="sweeping sites"):
                try:
                    reports.append(sweep_site(one))
                except (SweepBusy, LockLost) as error:
                    refused.append(str(error))
        if refused and not reports:
            raise CommandError("; ".join(refused) + ". Run it again when that sweep has ended.")
        document = total(reports)
        self.emit(document, describe(document), as_json=json)
        for reason in refused:
            self.stderr.write(reason)


def total(reports: list[SweepReport]) -> dict[str, Any]:
    """The sweeps' figures added up, in the shape that scripts read."""
    failed: dict[str, int] = {}
    for report in reports:
        for reason, count in report.failed.items():
            failed[reason] = failed.get(reason, 0) + count
    return {
        "miners": sum(report.miners for report in reports),
        "stored": sum(report.stored for report in reports),
        "online": sum(report.online for report in reports),
        "failed": failed,
        "wall_s": round(sum(report.wall_s for report in reports), 3),
        "cpu_s": round(sum(report.cpu_s for report in reports), 3),
    }


def describe(document: dict[str, Any]) -> str:
    if not document["miners"]:
        return "No machine to read: switch reading on in Admin, or try `manage.py simulate_fleet --miners 100 --register Demo`."
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(document["failed"].items()))
    return (
        f"{document['stored']} of {document['miners']} machines stored in {document['wall_s']:.2f} s"
        f" ({document['cpu_s']:.2f} s of CPU){'; failed: ' + failed if failed else ''}"
    )
