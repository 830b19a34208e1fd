from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import CommandError, CommandParser

from accounts.acting import acting_user, add_acting_argument
from accounts.models import User
from accounts.services import grant_access
from minefarm.lib.command import FarmCommand


def moment(text: str) -> datetime:
    """ISO 8601; without an offset it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(FarmCommand):
    help = "Let somebody in for a time. From the first grant on, grants alone decide when they may come in."
    example = "grant_access guest@example.com --until 2027-03-31 --reason 'yearly audit' --as owner@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--from", dest="start", type=moment, help="UTC unless an offset is given; default now")
        parser.add_argument("--until", dest="end", type=moment, help="first moment without; default: no end")
        parser.add_argument("--reason", default="")
        add_acting_argument(parser)

    def handle(self, *, email: str, acting: str, **options: Any) -> None:
        by = acting_user(acting, permission="useraccess:add")
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            raise CommandError(f"There is no account {email}: invite_user first.")
        try:
            grant = grant_access(user, start=options["start"], end=options["end"], reason=options["reason"], by=by)
        except (ValidationError, PermissionDenied) as error:
            raise CommandError("; ".join(getattr(error, "messages", [str(error)]))) from error
        document = {"email": user.email, "from": grant.access_start_date, "until": grant.access_end_date}
        self.emit(document | {"id": grant.pk}, f"{user.email} has access: {grant}", as_json=options["json"])
