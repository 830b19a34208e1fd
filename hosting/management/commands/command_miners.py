from argparse import BooleanOptionalAction
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q, QuerySet
from rich.progress import Progress

from hosting.commands import KeyReused, WrongOrder, order_machines, work_commands
from hosting.commands.barred import barred
from hosting.commands.ordering import EXPIRES_AFTER, check_order
from hosting.control import Order
from hosting.management.sites import site_named
from hosting.models import CommandBatch, Miner
from hosting.states import OPEN_COMMANDS, CommandStatus
from minefarm.lib.command import FarmCommand, progress

MAX_SERIALS = 20_000
SHOWN = 20  # machines named for people; --json has all
DONE = (CommandStatus.CONFIRMED,)


class Command(FarmCommand):
    help = (
        "Give an order to machines, carry it out and wait until every one has a result."
        " Exits 1 when a machine did not confirm it."
    )
    example = 'command_miners sleep --site North --reason "grid operator called" --json'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("order", choices=[order.value for order in Order])
        parser.add_argument("--site", help="name or id: all of its machines")
        parser.add_argument(
            "--serial", action="append", default=[], metavar="SERIAL", help="one machine; may be repeated"
        )
        parser.add_argument("--file", type=Path, help="serial numbers, one a line")
        parser.add_argument("--watts", type=int, help="for set_power_limit")
        parser.add_argument("--reason", default="by command line", help="for the log (default: %(default)s)")
        parser.add_argument("--key", help="idempotency key: the same key again gives the same batch again")
        parser.add_argument(
            "--expires-min",
            type=float,
            default=EXPIRES_AFTER.total_seconds() / 60,
            help="give up after (default %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say which machines would get it, and send nothing")
        parser.add_argument(
            "--wait",
            action=BooleanOptionalAction,
            default=True,
            help="carry it out here and wait for the results (default), or leave it to the workers",
        )

    def handle(self, *, order: str, json: bool, dry_run: bool, wait: bool, **options: Any) -> None:
        machines = self.chosen(options["site"], options["serial"], options["file"])
        try:
            if dry_run:
                check_order(Order(order), options["watts"], options["reason"])
                self.tell_plan(order, machines, as_json=json)
                return
            batch = order_machines(
                machines,
                Order(order),
                watts=options["watts"],
                reason=options["reason"],
                idempotency_key=options["key"],
                expires_after=timedelta(minutes=options["expires_min"]),
                by=None,
            )
        except (WrongOrder, KeyReused) as refused:
            raise CommandError(str(refused)) from None
        if wait:
            self.wait_for(batch, show=not json)
        batch.refresh_from_db()
        document = as_document(batch)
        self.emit(document, describe(document), as_json=json)
        if wait and batch.miners != batch.commands.filter(status__in=DONE).count():
            raise SystemExit(1)

    def chosen(self, site: str | None, serials: list[str], file: Path | None) -> "QuerySet[Miner]":
        """The machines that are meant, or a CommandError that names what is wrong."""
        if file is not None:
            try:
                serials = [*serials, *(line.strip() for line in file.read_text().splitlines() if line.strip())]
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{file} cannot be read ({error}): give a text file of serial numbers.") from None
        if not site and not serials:
            raise CommandError("Say which machines: --site, --serial or --file.")
        if len(serials) > MAX_SERIALS:
            raise CommandError(f"{len(serials)} machines are too many: give at most {MAX_SERIALS} at once.")
        wanted = Q(serial_number__in=serials) if serials else Q()
        machines = Miner.objects.filter(wanted, **({"site": site_named(site)} if site else {}))
        missing = sorted(set(serials) - set(machines.values_list("serial_number", flat=True)))
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise CommandError(f"No machine {', '.join(missing[:5])}{more}{' at this site' if site else ''}.")
        if not machines.exists():
            raise CommandError("There is no machine at this site.")
        return machines

    def tell_plan(self, order: str, machines: "QuerySet[Miner]", *, as_json: bool) -> None:
        serials = dict(machines.values_list("pk", "serial_number"))
        reasons = {serials[pk]: why for pk, why in barred(serials).items()}
        document = {
            "order": order,
            "dry_run": True,
            "machines": len(serials),
            "would_get_it": len(serials) - len(reasons),
            "barred": [{"serial_number": serial, "detail": why} for serial, why in sorted(reasons.items())],
        }
        lines = [f"{order} would go to {document['would_get_it']} of {len(serials)} machines; nothing was sent."]
        lines += [f"  not to {serial}: {why}" for serial, why in some(sorted(reasons.items()))]
        self.emit(document, "\n".join(lines), as_json=as_json)

    def wait_for(self, batch: CommandBatch, *, show: bool) -> None:
        with progress(show=show) as bar:
            task = bar.add_task(f"{batch.order}", total=batch.miners)
            while batch.commands.filter(status__in=OPEN_COMMANDS).exists():
                work_commands(seconds=2.0, batch_id=batch.pk, progress=lambda: advance(bar, task, batch))


def advance(bar: Progress, task: Any, batch: CommandBatch) -> None:
    bar.update(task, completed=batch.commands.exclude(status__in=OPEN_COMMANDS).count())


def some(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(rows)[:SHOWN]


def as_document(batch: CommandBatch) -> dict[str, Any]:
    rows = batch.commands.select_related("miner").order_by("miner__serial_number")
    return {
        "batch": batch.pk,
        "order": batch.order,
        "watts": batch.watts,
        "machines": batch.miners,
        "results": batch.counts(),
        "finished": batch.finished_at is not None,
        "wall_s": None if batch.finished_at is None else (batch.finished_at - batch.created_at).total_seconds(),
        "commands": [
            {
                "miner_id": row.miner_id,
                "serial_number": row.miner.serial_number,
                "status": row.status,
                "detail": row.detail,
                "attempts": row.attempts,
                "wall_s": row.took,
            }
            for row in rows
        ],
    }


def describe(document: dict[str, Any]) -> str:
    counted = ", ".join(f"{count} {status}" for status, count in document["results"].items() if count)
    lines = [f"batch {document['batch']}, {document['order']} of {document['machines']} machines: {counted}"]
    others = [row for row in document["commands"] if row["status"] not in {"confirmed", "queued", "sent", "accepted"}]
    lines += [f"  {row['serial_number']} {row['status']}: {row['detail']}" for row in others[:SHOWN]]
    if len(others) > SHOWN:
        lines.append(f"  and {len(others) - SHOWN} more: see the batch in Admin, or use --json")
    if not document["finished"]:
        lines.append("Workers carry it out; see the batch in Admin.")
    return "\n".join(lines)
