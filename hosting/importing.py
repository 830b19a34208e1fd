"""Machines come and go as files: a dry run tells everything and writes nothing, a commit writes exactly what it told.

The commit is bound to its dry run: the token holds a hash of the file and one of the plan, which names every value that is
there now. When either is another one by then, nothing is written.
"""

import hashlib
from collections.abc import Iterable

from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from hosting import services
from hosting.import_plan import COLUMNS, Farm, Plan, Planner, Step
from hosting.models import Miner, Site
from hosting.sheets import UnreadableFile, read_sheet, write_csv, write_xlsx
from hosting.states import MinerStatus

__all__ = ["ImportRefused", "Plan", "UnreadableFile", "commit_import", "export_miners", "plan_import"]

TOKEN_LIVES_S = 24 * 3600
BATCH_SIZE = 1000
SALT = "hosting.importing"
ONE_AT_A_TIME = 0x6D696E65  # advisory lock of imports
# The status goes through the services: meanwhile the collector may have moved it.
WRITTEN = [name.removesuffix("_id") for name in COLUMNS.values() if name not in {"serial_number", "status"}]


class ImportRefused(Exception):
    """Nothing was written. `plan` is the present one, where there is one to look at."""

    def __init__(self, reason: str, plan: Plan | None = None) -> None:
        super().__init__(reason)
        self.plan = plan


def plan_import(content: bytes, *, site: Site | None = None, by: User | None) -> Plan:
    """The dry run: adds, changes, moves, conflicts and every bad row; raises UnreadableFile.

    With a site, rows go there, and rows that name another one are bad.
    """
    plan = _plan(content, site, lock=False)
    if not plan.problems:
        bound = {"file": _digest(content), "plan": plan.fingerprint, "site": site and site.pk, "by": by and str(by.pk)}
        plan.token = signing.dumps(bound, salt=SALT)
    return plan


@transaction.atomic
def commit_import(content: bytes, token: str, *, site: Site | None = None, by: User | None) -> Plan:
    """Write what the dry run of this token told; raises ImportRefused or UnreadableFile, and then nothing was written."""
    bound = _opened(token)
    if bound.get("file") != _digest(content):
        raise ImportRefused("This is another file than the dry run's: run the dry run again and commit its token.")
    if (bound.get("site"), bound.get("by")) != (site and site.pk, by and str(by.pk)):
        raise ImportRefused("The dry run was for another site or by somebody else: run it again.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
    plan = _plan(content, site, lock=True)
    if plan.problems or bound.get("plan") != plan.fingerprint:
        raise ImportRefused(
            "The farm has changed since the dry run, so nothing was written: look at a new dry run, then commit its token.",
            plan,
        )
    try:
        with transaction.atomic():
            _write(plan, by)
    except IntegrityError as error:
        raise ImportRefused(
            "Somebody changed a machine of the file at this moment, so nothing was written: run the dry run again."
        ) from error
    return plan


def export_miners(miners: "QuerySet[Miner]", kind: str) -> bytes:
    """The machines in service as `csv` or `xlsx`, in the columns that an import takes."""
    farm = Farm([])
    found = miners.filter(retired_at__isnull=True).order_by("serial_number").iterator(chunk_size=2000)
    rows = ([farm.render(miner, column) for column in COLUMNS] for miner in found)
    return (write_xlsx if kind == "xlsx" else write_csv)(list(COLUMNS), rows)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _opened(token: str) -> dict[str, str | int | None]:
    try:
        bound: dict[str, str | int | None] = signing.loads(token, salt=SALT, max_age=TOKEN_LIVES_S)
    except signing.SignatureExpired:
        raise ImportRefused("The dry run is older than a day: run it again and commit its token.") from None
    except signing.BadSignature:
        raise ImportRefused(
            "This is no token of a dry run: run the dry run, and commit the token that it gives."
        ) from None
    return bound


def _plan(content: bytes, site: Site | None, *, lock: bool) -> Plan:
    sheet = read_sheet(content)
    if lock:  # in one order, as everywhere; nothing that the plan reads of them changes until the commit
        list(_named(sheet.rows, sheet.headers).order_by("pk").select_for_update(no_key=True).values_list("pk"))
    return Planner(Farm(list(Miner.objects.all())), sheet, site).plan()


def _named(rows: list[tuple[int, list[str]]], headers: list[str]) -> "QuerySet[Miner]":
    at = headers.index("serial_number") if "serial_number" in headers else 0
    folded = {row[at].strip().lstrip("'").casefold() for _, row in rows if len(row) > at}
    known = Miner.objects.values_list("pk", "serial_number")
    return Miner.objects.filter(pk__in=[pk for pk, serial in known if serial.strip().lstrip("'").casefold() in folded])


def _write(plan: Plan, by: User | None) -> None:
    now = timezone.now()
    added = [step.miner for step in plan.of_kind("add")]
    changed = [step for step in plan.steps if step.kind in {"change", "move"}]
    # What machines give up is free before others take it: two may swap.
    leaving = [step.miner.pk for step in changed if step.names("site", "rack", "slot", "cgminer_ip", "cgminer_port")]
    Miner.objects.filter(pk__in=leaving).update(cgminer_ip=None, rack=None, slot=None)
    for miner in (*added, *(step.miner for step in changed)):
        miner.updated_at = now  # bulk statements do not set it
    Miner.objects.bulk_create(added, batch_size=BATCH_SIZE)
    # One upsert per batch: an eighth of the time of Django's bulk_update. The rows are there, locked just before.
    Miner.objects.bulk_create(
        [step.miner for step in changed],
        batch_size=BATCH_SIZE,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[*WRITTEN, "updated_at"],
    )
    _move_statuses(changed, by)
    services.log_changes({step.miner.pk: line for step in changed if (line := _line(step))}, by=by)
    services.recount_sites(_sites(plan.steps))


def _move_statuses(steps: Iterable[Step], by: User | None) -> None:
    moves = {MinerStatus.MAINTENANCE: services.start_maintenance, MinerStatus.ACTIVE: services.end_maintenance}
    for status, move in moves.items():
        ids = [step.miner.pk for step in steps if step.status == status]
        if ids:
            move(Miner.objects.filter(pk__in=ids), reason="import", by=by)


def _line(step: Step) -> str:
    told = [change for change in step.changes if change.column != "status"]
    named = ", ".join(f"{change.column} {change.before or 'empty'} → {change.after or 'empty'}" for change in told)
    return f"import: {named}" if named else ""


def _sites(steps: Iterable[Step]) -> set[int | None]:
    touched = [step for step in steps if step.kind != "same"]
    before = {change.stored[0] for step in touched for change in step.changes if change.column == "site"}
    return before | {step.miner.site_id for step in touched}
