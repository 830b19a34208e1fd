"""Commands that act on behalf of somebody: `--as EMAIL`."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from accounts.models import User


def add_acting_argument(parser: ArgumentParser, *, required: bool = True) -> None:
    """`--as EMAIL`; the value arrives in handle() as `acting`."""
    parser.add_argument(
        "--as", dest="acting", metavar="EMAIL", required=required, help="on whose behalf, by the rights of their role"
    )


def acting_user(email: str, *, permission: str = "") -> User:
    """The person with this address, who may act now and, if one is named, has the permission. Raises CommandError."""
    user = User.objects.with_standing().filter(email=email.strip().lower()).first()
    if user is None:
        raise CommandError(f"There is no account {email}: give the e-mail address of one with --as.")
    if not user.is_active:
        raise CommandError(f"The account {user.email} is disabled: act as somebody else, or enable it first.")
    if not user.has_access:
        raise CommandError(f"{user.email} has no access at this time: act as somebody else, or grant_access first.")
    if permission and not user.may(permission):
        raise CommandError(f"The role {user.role} of {user.email} may not {permission}: act as somebody who may.")
    return user
