import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from hosting.management.commands.rollup_telemetry import moment
from hosting.models import Miner, Site
from hosting.telemetry.export import ParquetMissing, chart_between, write_csv, write_parquet
from minefarm.lib.clock import database_now
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Write hashrate, power and temperature of a site, machine or customer over time: at most 500 lines."
    example = "export_telemetry --site North --since 2026-10-01 --output october.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--site", metavar="NAME|ID")
        whose.add_argument("--miner", metavar="SERIAL")
        whose.add_argument("--client", metavar="EMAIL")
        parser.add_argument("--since", type=moment, help="UTC, ISO 8601; default a day before the end")
        parser.add_argument("--until", type=moment, help="default now")
        parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="parquet needs pyarrow")
        parser.add_argument("--output", type=Path, help="default: CSV to stdout")

    def handle(self, *, json: bool, output: Path | None, since: datetime | None, **options: Any) -> None:
        end = options["until"] or database_now()
        start = since or end - timedelta(days=1)
        if start >= end:
            raise CommandError("The range is empty: --since must be before --until.", returncode=2)
        if options["format"] == "parquet" and output is None:
            raise CommandError("Say where to write Parquet: --output FILE.", returncode=2)
        chart = chart_between(self.whose(options), start, end)
        if json:
            self.emit(chart.as_json(), "", as_json=True)
        elif options["format"] == "parquet" and output:
            try:
                write_parquet(chart, output)
            except ParquetMissing as error:
                raise CommandError(str(error)) from error
        else:
            text = io.StringIO()
            write_csv(chart, text)
            if output:
                output.write_text(text.getvalue())
            else:
                self.stdout.write(text.getvalue(), ending="")

    def whose(self, options: dict[str, Any]) -> Site | Miner | User:
        try:
            if options["site"]:
                return Site.objects.named(options["site"])
            if options["miner"]:
                return Miner.objects.get(serial_number=options["miner"])
            return User.objects.get(email__iexact=options["client"])
        except (Site.DoesNotExist, Miner.DoesNotExist, User.DoesNotExist) as error:
            raise CommandError(f"There is none of that name ({error}): look in the admin.") from error
        except Site.MultipleObjectsReturned as error:
            raise CommandError("Several sites have that name: give the id.") from error
