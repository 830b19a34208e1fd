import sys
from contextlib import redirect_stdout
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import CommandError, CommandParser

from accounts import invitations
from accounts.acting import acting_user, add_acting_argument
from accounts.roles import Role
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Mail somebody a link, good once and for 72 hours, to make their account; it is printed, too, this once."
    example = "invite_user client@example.com --role client --as owner@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--role", choices=Role.values, default=Role.CLIENT.value, help="default %(default)s")
        parser.add_argument("--site", action="append", type=int, default=[], metavar="ID", help="limit to; repeatable")
        parser.add_argument("--origin", default="", help="scheme and host of the link; default PUBLIC_URL")
        parser.add_argument("--no-mail", action="store_true", help="only print the link, to be handed over otherwise")
        add_acting_argument(parser)

    def handle(self, *, email: str, role: str, acting: str, **options: Any) -> None:
        by = acting_user(acting, permission="user:invite")
        try:
            invitations.link("x", origin=options["origin"])  # before anything is written
            made, secret = invitations.invite(email, Role(role), site_ids=options["site"], by=by)
        except (ValidationError, PermissionDenied) as error:
            raise CommandError("; ".join(getattr(error, "messages", [str(error)]))) from error
        if not options["no_mail"]:
            self._mail(made, secret, options["origin"])
        link = invitations.link(secret, origin=options["origin"])
        document = {"email": made.email, "role": made.role, "expires_at": made.expires_at, "link": link}
        text = f"{made.email} is invited as {made.role} until {made.expires_at:%Y-%m-%d %H:%M} UTC:\n{link}"
        self.emit(document, text, as_json=options["json"])

    def _mail(self, made: Any, secret: str, origin: str) -> None:
        try:
            with redirect_stdout(sys.stderr):  # where a development machine's mails are printed
                invitations.mail_link(made, secret, origin=origin)
        except invitations.MailFailed as error:
            raise CommandError(f"{error} Then invite again, or use --no-mail.") from error
