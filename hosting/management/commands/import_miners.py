import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.acting import acting_user, add_acting_argument
from hosting.importing import ImportRefused, Plan, UnreadableFile, commit_import, plan_import
from hosting.management.sites import site_named
from hosting.sheets import MAX_BYTES
from minefarm.lib.command import FarmCommand

LINES_SHOWN = 20


class Command(FarmCommand):
    help = (
        "Add and change machines from a CSV or XLSX file. Without --commit it only tells what would happen, and gives the token"
        " that commits it. Exits 1 when a row cannot be taken; then nothing is written."
    )
    example = "import_miners machines.csv --site North --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="- reads standard input")
        parser.add_argument(
            "--site", help="name or id: rows that name no site go there, rows that name another are bad"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="tell what would happen; this is the default")
        what.add_argument("--commit", metavar="TOKEN", help="write what the dry run of this token told")
        add_acting_argument(parser, required=False)

    def handle(self, *, file: str, site: str | None, commit: str | None, acting: str | None, **options: Any) -> None:
        by = acting_user(acting, permission="miner:add") if acting else None
        where = site_named(site) if site else None
        content = self._content(file)
        try:
            plan = (
                commit_import(content, commit, site=where, by=by) if commit else plan_import(content, site=where, by=by)
            )
        except UnreadableFile as error:
            raise CommandError(str(error)) from error
        except ImportRefused as error:
            raise CommandError(f"{error}{first_problem(error.plan)}") from error
        self.emit(
            document(plan, committed=bool(commit)), describe(plan, committed=bool(commit)), as_json=options["json"]
        )
        if plan.problems:
            sys.exit(1)

    def _content(self, file: str) -> bytes:
        try:
            if file == "-":
                return sys.stdin.buffer.read(MAX_BYTES + 1)
            with Path(file).open("rb") as opened:
                return opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{file} cannot be read ({error.strerror}): name a CSV or XLSX file.") from error


def first_problem(plan: Plan | None) -> str:
    if plan is None or not plan.problems:
        return ""
    problem = plan.problems[0]
    return f" First: row {problem.row}, {problem.column}: {problem.reason}"


def document(plan: Plan, *, committed: bool) -> dict[str, object]:
    """Every step but `same`, and every problem."""
    steps = [
        {
            "row": step.row,
            "kind": step.kind,
            "serial_number": step.miner.serial_number,
            "miner_id": step.miner.pk,
            "changes": {change.column: {"from": change.before, "to": change.after} for change in step.changes},
        }
        for step in plan.steps
        if step.kind != "same"
    ]
    problems = [asdict(problem) for problem in plan.problems]
    return {
        **plan.totals,
        "committed": committed,
        "token": plan.token,
        "problems": problems,
        "steps": steps,
        "notes": plan.notes,
    }


def describe(plan: Plan, *, committed: bool) -> str:
    totals = plan.totals
    lines = [*plan.notes]
    lines += [
        f"row {problem.row}, {problem.column} {problem.value!r}: {problem.reason}{' (conflict)' if problem.conflict else ''}"
        for problem in plan.problems
    ]
    shown = [step for step in plan.steps if step.kind != "same"][: 0 if committed else LINES_SHOWN]
    for step in shown:
        changes = ", ".join(f"{c.column} {c.before or 'empty'} → {c.after or 'empty'}" for c in step.changes)
        lines.append(f"row {step.row}, {step.kind} {step.miner}: {changes}")
    counted = f"{totals['add']} added, {totals['change']} changed, {totals['move']} moved, {totals['same']} unchanged"
    if committed:
        lines.append(f"Imported: {counted}.")
    elif plan.problems:
        lines.append(
            f"{plan.bad_rows} of {plan.rows} rows cannot be taken: correct them and run it again. Nothing was written."
        )
    else:
        lines.append(f"Dry run: {counted}. Nothing was written yet; to write it, add\n  --commit {plan.token}")
    return "\n".join(lines)
