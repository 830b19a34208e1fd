"""Inviting people: the secret of the link exists in the mail alone."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import Invitation, SiteLimit, User, UserAccess, UserStatus
from accounts.roles import LIMITABLE_ROLES, Role, allows, manageable_by, may_manage
from accounts.services import NotAllowed
from accounts.sites import site_choices
from minefarm.lib.clock import database_now

VALID_FOR = timedelta(hours=72)


class InvitationGone(Exception):
    """The link was used, revoked or has expired, or who sent it may no longer invite."""


class MailFailed(Exception):
    """The mail could not be handed over; the invitation stands and can be sent again."""


@transaction.atomic
def invite(
    email: str,
    role: Role,
    *,
    site_ids: Collection[int] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    by: User,
) -> tuple[Invitation, str]:
    """An invitation and the secret of its link, which is kept nowhere. An open one to the same address is revoked.

    Raises NotAllowed, and ValidationError by field.
    """
    email = email.strip().lower()
    _may_invite(role, by)
    refuse_unfit(email, role, site_ids=site_ids, start=start, end=end)
    Invitation.objects.open().filter(email=email).update(revoked_at=Now(), revoked_by=by)
    secret = secrets.token_urlsafe(32)
    invitation = Invitation(
        email=email,
        role=role,
        site_ids=sorted(set(site_ids)),
        access_start_date=start,
        access_end_date=end,
        token_sha256=digest(secret),
        invited_by=by,
        expires_at=database_now() + VALID_FOR,
    )
    invitation.full_clean(validate_constraints=False)
    invitation.save()
    return invitation, secret


def refuse_unfit(
    email: str, role: Role, *, site_ids: Collection[int], start: datetime | None, end: datetime | None
) -> None:
    """Raise ValidationError, by field, for what cannot become an account."""
    if User.objects.filter(email=email.strip().lower()).exists():
        raise ValidationError({"email": "This e-mail address has an account."})
    if site_ids and role not in LIMITABLE_ROLES:
        raise ValidationError({"site_ids": "Only staff of role user, and guests, are limited to sites."})
    if not set(site_ids) <= {site_id for site_id, _ in site_choices()}:
        raise ValidationError({"site_ids": "There is no such site."})
    if role == Role.OWNER and (start or end):
        raise ValidationError({"access_end_date": "Owners have access at all times."})
    if end is not None and (end <= database_now() or (start is not None and end <= start)):
        raise ValidationError({"access_end_date": "Access must end after it begins, and in the future."})


@transaction.atomic
def renew_invitation(invitation: Invitation, *, by: User) -> str:
    """A new secret, good for another 72 hours, for an open invitation; the old link is dead. Raises InvitationGone."""
    _may_invite(Role(invitation.role), by)
    secret = secrets.token_urlsafe(32)
    renewed = Invitation.objects.open().filter(pk=invitation.pk)
    if not renewed.update(token_sha256=digest(secret), expires_at=Now() + VALID_FOR, invited_by=by):
        raise InvitationGone
    return secret


def revoke_invitation(invitation: Invitation, *, by: User) -> bool:
    """Make the link useless; False when it was used or revoked before."""
    _may_invite(Role(invitation.role), by)
    return bool(Invitation.objects.open().filter(pk=invitation.pk).update(revoked_at=Now(), revoked_by=by))


def find(secret: str) -> Invitation:
    """The invitation whose link this is; raises InvitationGone."""
    found = Invitation.objects.usable().filter(_inviter_still_may(), token_sha256=digest(secret)).first()
    if found is None:
        raise InvitationGone
    return found


@transaction.atomic
def accept_invitation(secret: str, *, name: str, password: str) -> User:
    """Make the account, once; raises InvitationGone, with nothing made.

    The caller has validated the password. Whoever has the link has the address's mail, which is all the proof there is.
    """
    taken = Invitation.objects.usable().filter(_inviter_still_may(), token_sha256=digest(secret))
    if not taken.update(accepted_at=Now()):
        raise InvitationGone
    invitation = Invitation.objects.get(token_sha256=digest(secret))
    try:
        with transaction.atomic():
            user = User.objects.create_user(invitation.email, password, role=invitation.role, name=name)
    except IntegrityError as error:  # an account was made for the address in the meantime
        raise InvitationGone from error
    SiteLimit.objects.bulk_create(SiteLimit(user=user, site_id=site_id) for site_id in invitation.site_ids)
    if invitation.access_start_date or invitation.access_end_date:
        UserAccess.objects.create(
            user=user,
            access_start_date=invitation.access_start_date,
            access_end_date=invitation.access_end_date,
            granted_by_id=invitation.invited_by_id,
            reason="invited",
        )
    Invitation.objects.filter(pk=invitation.pk).update(accepted_by=user)
    return user


def link(secret: str, *, origin: str) -> str:
    """The address to open; `origin` is scheme and host of this site, for lack of which PUBLIC_URL serves."""
    base = (origin or settings.PUBLIC_URL).rstrip("/")
    if not base:
        raise ValidationError("Set PUBLIC_URL to the site's address, such as https://farm.example.com.")
    return base + reverse("accept_invitation", args=[secret])


def mail_link(invitation: Invitation, secret: str, *, origin: str = "") -> None:
    """Hand the mail over, now: the secret must not lie in a queue. Raises MailFailed."""
    told = {"by": invitation.invited_by, "role": invitation.role, "url": link(secret, origin=origin)}
    body = render_to_string("accounts/mail/invitation.txt", told)
    try:
        send_mail("Your invitation to MineFarm", body, None, [invitation.email])
    except (SMTPException, OSError) as error:
        raise MailFailed(f"The mail to {invitation.email} could not be sent: {error}. Check EMAIL_URL.") from error


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _may_invite(role: Role, by: User) -> None:
    if not (by.may("user:invite") and may_manage(by.role, role)):
        raise NotAllowed(f"{by} may not invite {role.label.lower()}s: ask an owner.")


def _inviter_still_may() -> Q:
    allowed = Q(pk__in=[])
    for manager in Role:
        if allows(manager, "user", "invite"):
            inviter = User.objects.filter(pk=OuterRef("invited_by"), role=manager, status=UserStatus.ACTIVE)
            allowed |= Q(Exists(inviter), role__in=manageable_by(manager))
    return allowed
