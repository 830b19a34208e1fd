import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.progress import Progress

from analytics.csvfile import BadFile, read_rows
from analytics.history import store_history
from analytics.models import Origin
from minefarm.lib.command import FarmCommand, progress

NAMED = 100  # bad rows that are named; the others are counted


class Command(FarmCommand):
    help = (
        "Import price and network history from CSV (time, btc_price, and what else is known). The same file again changes"
        " nothing; what was collected here stays. Bad rows are named and left out, and the command then exits 1."
    )
    example = "import_market_history history.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)

    def handle(self, *, file: Path, json: bool, **_options: Any) -> None:
        bad: list[dict[str, object]] = []
        bad_rows = 0

        def tell_bad(line: int, reason: str) -> None:
            nonlocal bad_rows
            bad_rows += 1
            if len(bad) < NAMED:
                bad.append({"line": line, "reason": reason})

        try:
            with progress(show=not json) as bar:
                stored = store_history(read_rows(lines_of(file, bar), tell_bad), Origin.IMPORTED)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read as a text file in UTF-8: {error}.") from error
        except BadFile as error:
            raise CommandError(str(error)) from error
        for row in bad:
            self.stderr.write(f"line {row['line']}: {row['reason']}")
        if bad_rows > len(bad):
            self.stderr.write(f"and {bad_rows - len(bad)} more bad rows")
        document = {
            "inserted": stored.inserted,
            "updated": stored.updated,
            "unchanged": stored.unchanged,
            "bad_rows": bad_rows,
            "bad": bad,
        }
        text = f"{stored.inserted} new, {stored.updated} changed, {stored.unchanged} as they were, {bad_rows} bad rows"
        self.emit(document, text, as_json=json)
        if bad_rows:
            raise SystemExit(1)


def lines_of(file: Path, bar: Progress) -> Iterator[str]:
    """Lines as they are read, with the bar at the bytes behind them."""
    with file.open("rb") as raw:
        task = bar.add_task("importing", total=file.stat().st_size)
        for number, line in enumerate(io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")):
            if number % 1000 == 0:
                bar.update(task, completed=raw.tell())
            yield line
