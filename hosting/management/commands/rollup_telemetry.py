from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from hosting.telemetry.rollups import RollupReport, roll_up, roll_up_due
from minefarm.lib.clock import database_now
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Compute the energy ledger and the hours and days of charts: what is due, or a range again. Safe to repeat."
    example = "rollup_telemetry --since 2026-11-01 --until 2026-11-08"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--since", type=moment, help="compute every hour from here on again; UTC, ISO 8601")
        parser.add_argument("--until", type=moment, help="end of that range; default now")

    def handle(self, *, since: datetime | None, until: datetime | None, json: bool, **_options: Any) -> None:
        if until and not since:
            raise CommandError("Say where to begin: --since 2026-11-01.", returncode=2)
        report = roll_up(since, until or database_now()) if since else roll_up_due()
        self.emit(asdict(report), describe(report), as_json=json)


def moment(text: str) -> datetime:
    """A date or time as UTC, unless it says otherwise."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def describe(report: RollupReport) -> str:
    line = f"{report.site_hours} hours and {report.site_days} days of sites computed, {report.rows_changed} ledger rows changed"
    return f"{line}; {report.final_hours} hours are final, their readings are gone" if report.final_hours else line
