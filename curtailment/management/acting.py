"""What commands about plans have in common: the plan that is meant, who acts, and refusals as errors."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from accounts.acting import acting_user
from accounts.models import User
from curtailment.models import CurtailmentPlan
from curtailment.refusals import REFUSED


def add_by_argument(parser: ArgumentParser, *, required: bool) -> None:
    """`--by EMAIL` (or `--as`, as other commands have it); the value arrives in handle() as `by`."""
    text = "who does it, by the rights of their role"
    parser.add_argument(
        "--by",
        "--as",
        dest="by",
        metavar="EMAIL",
        required=required,
        help=text if required else f"{text}; may be left out",
    )


def person(email: str | None) -> User | None:
    """The person who acts; None is the command line itself. Raises CommandError."""
    return None if email is None else acting_user(email)


def plan_numbered(number: int, *, by: User | None) -> CurtailmentPlan:
    """The plan, or a CommandError where there is none that this person reaches."""
    rows = CurtailmentPlan.objects.all() if by is None else CurtailmentPlan.objects.for_user(by)
    plan = rows.select_related("site").filter(pk=number).first()
    if plan is None:
        raise CommandError(
            f"There is no plan {number}: the plans' page, or GET /api/v1/curtailment/plans/, lists them."
        )
    return plan


@contextmanager
def refusals_told() -> Iterator[None]:
    """A refused step ends the command with 1 and the sentence that says what to do."""
    try:
        yield
    except REFUSED as refused:
        raise CommandError(str(refused)) from None


def as_document(plan: CurtailmentPlan) -> dict[str, object]:
    """The plan for `--json`."""
    plan.refresh_from_db()
    return {
        "plan": plan.pk,
        "site_id": plan.site_id,
        "status": plan.status,
        "recovery_state": plan.recovery_state,
        "version": plan.version,
        "content_hash": plan.content_hash,
        "scheduled_time": plan.scheduled_time,
        "recovery_time": plan.recovery_time,
        "machines": plan.miners_affected,
        "planned_mw": plan.planned_reduction,
        "restore_requested_at": plan.restore_requested_at,
    }


def in_words(plan: CurtailmentPlan) -> str:
    return (
        f"plan {plan.pk} at {plan.site}: {plan.get_status_display()}, {plan.miners_affected:,} machines,"
        f" {plan.planned_reduction:.3f} MW, {plan.scheduled_time:%Y-%m-%d %H:%M} to"
        f" {plan.recovery_time:%Y-%m-%d %H:%M} UTC, version {plan.version}"
    )
