from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management.base import CommandParser

from crm.dunning import Dunned, mark_overdue
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Mark issued invoices whose due date has passed, and write the reminders that are due. Safe to repeat."
    example = "mark_overdue_invoices --date 2026-12-08 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--date", type=date.fromisoformat, help="as of this day; default today")

    def handle(self, *, date: date | None, json: bool, **_options: Any) -> None:
        done = mark_overdue(date)
        self.emit(asdict(done), describe(done), as_json=json)


def describe(done: Dunned) -> str:
    return f"{len(done.overdue)} invoices became overdue by {done.on}, {len(done.reminded)} reminders go out"
