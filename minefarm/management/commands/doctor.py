from dataclasses import asdict
from datetime import UTC
from typing import Any

from django.core.management.base import CommandParser

from hosting.upkeep import DatabaseReport, examine_database
from minefarm.health import Finding, examine
from minefarm.lib.clock import database_now
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = "Look at everything MineFarm needs and say what is wrong and what to do. Exits 1 when something is wrong."
    example = "doctor --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--database", action="store_true", help="report on the database instead: sizes, bloat, unused indexes, disk"
        )

    def handle(self, *, database: bool, json: bool, **_options: Any) -> None:
        healthy = self.report_database(as_json=json) if database else self.look(as_json=json)
        if not healthy:
            raise SystemExit(1)

    def look(self, *, as_json: bool) -> bool:
        findings = []
        with progress(show=not as_json) as bar:
            task = bar.add_task("looking", total=None)
            for finding in examine():
                findings.append(finding)
                bar.update(task, description=finding.check)
        healthy = all(finding.ok for finding in findings)
        document = {"ok": healthy, "checks": [asdict(finding) for finding in findings]}
        self.emit(document, "\n".join(map(describe, findings)), as_json=as_json)
        return healthy

    def report_database(self, *, as_json: bool) -> bool:
        report = examine_database(today=database_now().astimezone(UTC).date())
        document = {"ok": not report.warnings, **asdict(report), "warnings": report.warnings}
        self.emit(document, describe_database(report), as_json=as_json)
        return not report.warnings


def describe(finding: Finding) -> str:
    line = f"{'ok   ' if finding.ok else 'WRONG'} {finding.check:22} {finding.saw}"
    return line if finding.ok or not finding.next_step else f"{line}\n{'':28} -> {finding.next_step}"


def describe_database(report: DatabaseReport) -> str:
    lines = [f"{'table':32} {'MB':>10} {'indexes MB':>10} {'rows':>13} {'dead':>10} {'bloat MB':>9}  vacuumed"]
    lines += [
        f"{table['table']:32} {megabytes(table['bytes']):>10} {megabytes(table['index_bytes']):>10} {table['rows']:>13,}"
        f" {table['dead_rows']:>10,} {megabytes(table['bloat_bytes']):>9}"
        f"  {table['vacuumed_at'].strftime('%Y-%m-%d %H:%M') if table['vacuumed_at'] else 'never'}"
        for table in report.tables
    ]
    lines += [
        f"unused index {index['index']} of {index['table']}: {megabytes(index['bytes'])} MB"
        for index in report.unused_indexes
    ]
    lines.append(
        f"{megabytes(report.size_bytes)} MB in all; {report.partitions} day partitions,"
        f" {report.oldest_partition or '-'} to {report.newest_partition or '-'}; {megabytes(report.bytes_per_day)} MB a day"
    )
    left = "unknown" if report.disk_days_left is None else f"about {report.disk_days_left:,} days"
    free = "unknown" if report.disk_free_bytes is None else f"{megabytes(report.disk_free_bytes)} MB"
    return "\n".join(
        [*lines, f"disk free: {free}; lasts: {left}", *(f"WRONG {warning}" for warning in report.warnings)]
    )


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.1f}"
