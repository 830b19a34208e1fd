from typing import Any

from allauth.usersessions.models import UserSession
from django.core.management.base import CommandError, CommandParser

from accounts.second_factor import reset_second_factor
from accounts.signins.door import find_user
from accounts.signins.mail import mail_notice
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Forget the second factor of somebody who lost their device, and end their sessions. For owners, on the host."
    )
    example = "reset_second_factor operator@farm.example"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email", help="the person's e-mail address")

    def handle(self, *, email: str, json: bool, **_options: Any) -> None:
        user = find_user(email.strip().lower())
        if user is None:
            raise CommandError(
                f"No account has the address {email}: check the spelling, or look under Users in the admin."
            )
        forgotten = reset_second_factor(user)
        sessions = list(UserSession.objects.filter(user=user))
        for session in sessions:
            session.end()
        if forgotten:
            mail_notice(
                user.email, "the second factor of your account was reset by the farm", address=None, device=None
            )
        document = {"email": user.email, "had_second_factor": forgotten > 0, "ended_sessions": len(sessions)}
        told = "The second factor is forgotten" if forgotten else "There was no second factor"
        self.emit(document, f"{told}; {len(sessions)} session(s) ended. Next: sign in and set one up.", as_json=json)
