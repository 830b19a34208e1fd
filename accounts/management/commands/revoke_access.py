from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError, CommandParser

from accounts.acting import acting_user, add_acting_argument
from accounts.models import User
from accounts.services import revoke_all_access
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "End every grant of somebody's access, now. Their sessions end with it."
    example = "revoke_access guest@example.com --as owner@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email", metavar="EMAIL")
        add_acting_argument(parser)

    def handle(self, *, email: str, acting: str, json: bool, **_options: Any) -> None:
        by = acting_user(acting, permission="useraccess:add")
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            raise CommandError(f"There is no account {email}: check the address.")
        try:
            revoked = revoke_all_access(user, by=by)
        except PermissionDenied as error:
            raise CommandError(str(error)) from error
        if not revoked:
            raise CommandError(f"{user.email} has no grant to revoke: disable the account to keep somebody out.")
        self.emit({"email": user.email, "revoked": revoked}, f"{user.email}: {revoked} revoked", as_json=json)
