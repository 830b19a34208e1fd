from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from hosting.telemetry.partitions import maintain_partitions
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Make the coming days' telemetry partitions and index the days that are over. Safe to run at any time."
    example = "maintain_partitions --days-ahead 14"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--days-ahead",
            type=int,
            default=settings.TELEMETRY_PARTITION_DAYS_AHEAD,
            choices=range(1, 61),
            metavar="1-60",
            help="default %(default)s",
        )

    def handle(self, *, days_ahead: int, json: bool, **_options: Any) -> None:
        done = maintain_partitions(days_ahead=days_ahead)
        document = {"created": done.created, "indexed": done.indexed, "partitions": done.existing}
        text = f"{done.existing} day partitions; made {len(done.created)}, indexed {len(done.indexed)} closed days"
        self.emit(document, text, as_json=json)
