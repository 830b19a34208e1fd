"""The contract of every MineFarm command: an example in `--help`, exit codes 0, 1, 2, and one JSON document with `--json`."""

import json
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from psycopg.errors import UndefinedColumn, UndefinedTable
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


def plain(value: object) -> object:
    """JSON's word for what JSON lacks: times in ISO 8601, decimals as numbers."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class FarmCommand(BaseCommand):
    """A command that exits 0 when done, 1 when refused or failed, 2 on wrong usage."""

    example: ClassVar[str] = ""
    requires_system_checks: Any = ()  # deploy and test run the checks; a command must start fast

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = f"example:\n  manage.py {self.example}" if self.example else None
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return self._execute(*args, **options)
        except CommandError as error:
            if options.get("json"):
                self.stdout.write(json.dumps({"error": str(error)}))
            raise

    def _execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise
            raise CommandError("The database lacks tables of this version: run `manage.py migrate`.") from error
        except OperationalError as error:
            reason = str(error).strip()
            raise CommandError(
                f"The database does not answer ({reason}): start it, or correct DATABASE_URL."
            ) from error

    def emit(self, document: Mapping[str, object], text: str, *, as_json: bool) -> None:
        """Print the document, or the text for people."""
        self.stdout.write(json.dumps(document, default=plain) if as_json else text)


def progress(*, show: bool) -> Progress:
    """A progress bar on stderr: on a terminal only, and never beside JSON."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not (show and sys.stderr.isatty()),
        transient=True,
    )
