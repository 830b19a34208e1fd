import signal
import threading
from typing import Any

from django.core.management.base import CommandError, CommandParser

from events.models import LockLost
from hosting.management.sites import site_named
from hosting.models import Site
from hosting.telemetry.collector import SweepBusy, SweepReport, collect
from hosting.telemetry.duty import own_sites
from hosting.telemetry.loop import Loop
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = "Read every enabled machine once and store the minute, of one site or of all; with --loop, every minute."
    example = "collect_telemetry --site North --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", help="name or id; all sites unless given")
        parser.add_argument(
            "--loop",
            action="store_true",
            help="sweep at the start of every minute until interrupted, for a host without Celery",
        )

    def handle(self, *, site: str | None, loop: bool, json: bool, **_options: Any) -> None:
        only = [site_named(site).pk] if site else None
        if loop and json:
            raise CommandError("--loop has no end to print a document at: leave out --json.")
        if loop:
            self.sweep_for_ever(only)
            return
        reports: list[SweepReport] = []
        refused: list[str] = []
        with progress(show=not json) as bar:
            for site_id in bar.track(only or every_site(), description="sweeping sites"):
                try:
                    report = collect(site_id)
                except (SweepBusy, LockLost) as error:
                    refused.append(str(error))
                else:
                    reports += [report] if report else []
        if refused and not reports:
            raise CommandError("; ".join(refused) + ". Run it again when that sweep has ended.")
        document = total(reports)
        self.emit(document, describe(document), as_json=json)
        for reason in refused:
            self.stderr.write(reason)

    def sweep_for_ever(self, only: list[int] | None) -> None:
        printing = threading.Lock()

        def tell(report: SweepReport) -> None:
            with printing:
                self.stdout.write(f"{report.line()}")
                self.stdout.flush()

        loop = Loop(sites=only, report=tell)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop.set())
        loop.run()


def every_site() -> list[int]:
    """All sites that the farm's workers read, or those of them that this host knows while the database is away."""
    known = own_sites()
    if not known:
        Site.objects.exists()  # raises when the database is away, which is why none is known
    return known


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
        "resting": sum(report.resting for report in reports),
        "kept": sum(report.online for report in reports if report.kept),
        "drained_minutes": sum(report.drained for report in reports),
        "wall_s": round(sum(report.wall_s for report in reports), 3),
        "cpu_s": round(sum(report.cpu_s for report in reports), 3),
    }


def describe(document: dict[str, Any]) -> str:
    if not document["miners"] and not document["resting"]:
        return "No machine to read: switch reading on in Admin, or try `manage.py simulate_fleet --miners 100 --register Demo`."
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(document["failed"].items()))
    took = f"in {document['wall_s']:.2f} s ({document['cpu_s']:.2f} s of CPU)"
    lines = [
        f"{document['stored']} of {document['miners']} machines stored {took}{'; failed: ' + failed if failed else ''}"
    ]
    if document["kept"]:
        lines.append(
            f"The database does not answer: {document['kept']} readings wait on disk, and the next sweep stores them."
        )
    if document["drained_minutes"]:
        lines.append(f"{document['drained_minutes']} minutes that had waited on disk are stored now.")
    if document["resting"]:
        lines.append(f"{document['resting']} machines have long been down and are asked every 5 or 15 minutes only.")
    return "\n".join(lines)
