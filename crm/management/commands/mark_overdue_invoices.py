from argparse import ArgumentTypeError
from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management.base import CommandParser

from crm.dunning import Dunned, mark_overdue
from crm.invoicing import today
from minefarm.lib.command import FarmCommand


def day(text: str) -> date:
    """A day up to today: what is late tomorrow must not be marked, and dunned, today."""
    try:
        given = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day: write it as 2026-12-08") from None
    if given > today():
        raise ArgumentTypeError(f"{text} is still to come: give a day up to today, {today()}")
    return given


class Command(FarmCommand):
    help = "Mark issued invoices whose due date has passed, and write the reminders that are due. Safe to repeat."
    example = "mark_overdue_invoices --date 2026-12-08 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--date", type=day, help="as of this day, which may not be to come; default today")

    def handle(self, *, date: date | None, json: bool, **_options: Any) -> None:
        done = mark_overdue(date)
        self.emit(asdict(done), describe(done), as_json=json)


def describe(done: Dunned) -> str:
    return f"{len(done.overdue)} invoices became overdue by {done.on}, {len(done.reminded)} reminders go out"
