import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from rich.progress import Progress

from analytics.pricefile import BadFile, PriceRow, read_prices
from hosting.management.sites import site_named
from hosting.prices import Span, write_prices
from minefarm.lib.command import FarmCommand, progress

NAMED = 100  # bad rows that are named; the others are counted
BATCH = 2000


class Command(FarmCommand):
    help = (
        "Import prices of electricity of a site from CSV (time, price_per_kwh or price_per_mwh). The same file again changes"
        " nothing; hours that are not in it keep their prices. Bad rows are named and left out, and the command then exits 1."
    )
    example = "import_electricity_prices --site North prices.csv --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--site", required=True, metavar="NAME|ID")
        parser.add_argument("--currency", default="USD", help="of rows that name none (USD)")
        parser.add_argument("--dry-run", action="store_true", help="read and compare, write nothing")

    def handle(self, *, file: Path, site: str, currency: str, dry_run: bool, json: bool, **_options: Any) -> None:
        where = site_named(site)
        bad: list[dict[str, object]] = []
        bad_rows = good_rows = changed = 0

        def tell_bad(line: int, reason: str) -> None:
            nonlocal bad_rows
            bad_rows += 1
            if len(bad) < NAMED:
                bad.append({"line": line, "reason": reason})

        try:
            with progress(show=not json) as bar, transaction.atomic():
                rows = read_prices(lines_of(file, bar), ZoneInfo(where.time_zone), currency, tell_bad)
                for batch in batches(rows):
                    good_rows += len(batch)
                    spans = [Span(row.starts_at, row.ends_at, row.price_per_kwh, row.currency) for row in batch]
                    changed += write_prices(where, spans, dry_run=dry_run).rows
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read as a text file in UTF-8: {error}.") from error
        except (BadFile, ValidationError) as error:
            raise CommandError(
                " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            ) from error
        for row in bad:
            self.stderr.write(f"line {row['line']}: {row['reason']}")
        document = {
            "site": where.name,
            "rows": good_rows,
            "prices_written": changed,
            "bad_rows": bad_rows,
            "bad": bad,
            "dry_run": dry_run,
        }
        did = "would be written" if dry_run else "written"
        self.emit(document, f"{good_rows} rows read, {changed} prices {did}, {bad_rows} bad rows", as_json=json)
        if bad_rows:
            raise SystemExit(1)


def batches(rows: Iterable[PriceRow]) -> Iterator[list[PriceRow]]:
    """So many rows at a time that memory holds them."""
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def lines_of(file: Path, bar: Progress) -> Iterator[str]:
    """Lines as they are read, with the bar at the bytes behind them."""
    with file.open("rb") as raw:
        task = bar.add_task("importing", total=file.stat().st_size)
        for number, line in enumerate(io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")):
            if number % 1000 == 0:
                bar.update(task, completed=raw.tell())
            yield line
