from typing import Any

from django.core.management.base import CommandParser

from hosting.retention import apply_retention
from minefarm.lib.command import FarmCommand
from minefarm.lib.retention import Applied


class Command(FarmCommand):
    help = "Delete what is older than the RETENTION settings say. Deletes nothing when the clock is in doubt; says why."
    example = "apply_retention --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="count rows and bytes, delete nothing")

    def handle(self, *, dry_run: bool, json: bool, **_options: Any) -> None:
        applied = apply_retention(dry_run=dry_run)
        document = {"dry_run": dry_run, "tables": [as_json(one) for one in applied]}
        self.emit(document, "\n".join(describe(one, dry_run=dry_run) for one in applied), as_json=json)


def as_json(applied: Applied) -> dict[str, object]:
    outcome = applied.outcome
    return {
        "table": applied.table,
        "keep_days": applied.keep_days,
        "before": applied.before,
        "rows": outcome.rows,
        "bytes": outcome.size_bytes,
        "notes": list(outcome.notes),
    }


def describe(applied: Applied, *, dry_run: bool) -> str:
    outcome = applied.outcome
    verb = "would go" if dry_run else "gone"
    line = f"{applied.table:24} {applied.keep_days:5} days  {outcome.rows:>12,} rows {outcome.size_bytes:>15,} bytes {verb}"
    return "\n".join([line, *(f"{'':24} {note}" for note in outcome.notes)])
