"""What is done to people: roles, being disabled, access for a time, limits to sites.

Each change is one UPDATE whose WHERE holds what makes it legal: what the person is, and what the one who acts is at that very
moment. The verbs return whether anything changed, and raise NotAllowed or LastOwner with nothing changed.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import SiteLimit, User, UserAccess, UserStatus
from accounts.roles import LIMITABLE_ROLES, Role, manageable_by, may_manage
from accounts.sessions import close_doors, end_sessions


class NotAllowed(PermissionDenied):
    """The one who acts may not do this to this person."""


class LastOwner(ValidationError):
    """Without an active owner nobody could make another one. The database refuses it, too (users_last_owner)."""

    def __init__(self) -> None:
        super().__init__("This is the last active owner: make somebody else an owner first.", code="last_owner")


@transaction.atomic
def change_role(user: User, role: Role, *, by: User) -> bool:
    """Give a person another role; their sessions end. Limits to sites stay, and count for roles that have them."""
    if role != Role.OWNER:
        _keep_an_owner(user)
    changing = User.objects.filter(_manageable(by, giving=role), pk=user.pk).exclude(role=role)
    if not changing.update(role=role, updated_at=Now()):
        return _refuse_unless(User.objects.filter(pk=user.pk, role=role), f"make {user} {role.label.lower()}", by)
    end_sessions([user.pk])
    return True


@transaction.atomic
def disable_user(user: User, *, by: User) -> bool:
    """Keep a person out from now on, sessions included; what they did stays on record."""
    _keep_an_owner(user)
    changing = User.objects.filter(_manageable(by), pk=user.pk, status=UserStatus.ACTIVE)
    if not changing.update(status=UserStatus.DISABLED, updated_at=Now()):
        return _refuse_unless(User.objects.filter(pk=user.pk, status=UserStatus.DISABLED), f"disable {user}", by)
    close_doors([user.pk])
    return True


@transaction.atomic
def enable_user(user: User, *, by: User) -> bool:
    changing = User.objects.filter(_manageable(by), pk=user.pk, status=UserStatus.DISABLED)
    if changing.update(status=UserStatus.ACTIVE, updated_at=Now()):
        return True
    return _refuse_unless(User.objects.filter(pk=user.pk, status=UserStatus.ACTIVE), f"enable {user}", by)


@transaction.atomic
def grant_access(
    user: User, *, start: datetime | None = None, end: datetime | None = None, reason: str = "", by: User
) -> UserAccess:
    """Let a person in from `start` until just before `end`; None is at once, and without an end.

    Raises ValidationError for a stretch that is empty or over. From the first grant on, grants alone decide.
    """
    _may_grant(user, by)
    if user.role == Role.OWNER:
        raise ValidationError("Owners have access at all times: change the role first.")
    grant = UserAccess(
        user=user, access_start_date=start, access_end_date=end, reason=reason.strip() or None, granted_by=by
    )
    grant.full_clean()
    grant.save()
    if end is not None and UserAccess.objects.filter(pk=grant.pk, access_end_date__lte=Now()).exists():
        raise ValidationError({"access_end_date": "This is over already: choose an end that is to come."})
    close_doors([user.pk])  # a first grant may begin later
    return grant


@transaction.atomic
def revoke_access(grant: UserAccess, *, by: User) -> bool:
    """End one grant now. The person stays in if another one holds."""
    managed = User.objects.filter(_manageable(by)).values("pk")
    if not UserAccess.objects.filter(pk=grant.pk, revoked_at=None, user__in=managed).update(
        revoked_at=Now(), revoked_by=by
    ):
        return _refuse_unless(
            UserAccess.objects.filter(pk=grant.pk, revoked_at__isnull=False), f"revoke access of {grant.user}", by
        )
    close_doors([grant.user_id])
    return True


@transaction.atomic
def revoke_all_access(user: User, *, by: User) -> int:
    """End every grant of the person that holds now or would later; how many there were."""
    _may_grant(user, by)
    managed = User.objects.filter(_manageable(by), pk=user.pk).values("pk")
    open_grants = UserAccess.objects.filter(
        Q(access_end_date=None) | Q(access_end_date__gt=Now()), user__in=managed, revoked_at=None
    )
    revoked = open_grants.update(revoked_at=Now(), revoked_by=by)
    close_doors([user.pk])
    return revoked


@transaction.atomic
def limit_to_sites(user: User, site_ids: Iterable[int], *, by: User) -> None:
    """Let a person reach these sites only. No sites: staff of role user reach all, a guest none."""
    wanted = set(site_ids)
    _may_grant(user, by)
    if wanted and user.role not in LIMITABLE_ROLES:
        raise ValidationError("Only staff of role user, and guests, are limited to sites.")
    # New rows first, and the person locked: at no moment is there nothing, which would be every site.
    User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()
    SiteLimit.objects.bulk_create(
        (SiteLimit(user=user, site_id=site_id) for site_id in sorted(wanted)), ignore_conflicts=True
    )
    SiteLimit.objects.filter(user=user).exclude(site_id__in=wanted).delete()


def _may_grant(user: User, by: User) -> None:
    if not (by.may("useraccess:add") and may_manage(by.role, user.role)):
        raise NotAllowed(f"You may not change when and where {user} has access: ask an owner.")


def _manageable(by: User, *, giving: Role | None = None) -> Q:
    """People whom `by`, active and of a role that may, may change; and only if that role may give the new one."""
    allowed = Q(pk__in=[])
    for manager in Role:
        roles = manageable_by(manager)
        if roles and (giving is None or giving in roles):
            acting = User.objects.filter(pk=by.pk, role=manager, status=UserStatus.ACTIVE)
            allowed |= Q(Exists(acting), role__in=roles)
    return allowed


def _keep_an_owner(user: User) -> None:
    """Lock every active owner until the transaction ends, so that two owners cannot go at the same moment."""
    owners = User.objects.active_owners().order_by("pk").select_for_update(no_key=True)
    if list(owners.values_list("pk", flat=True)) == [user.pk]:
        raise LastOwner


def _refuse_unless(as_wanted: QuerySet[Any], what: str, by: User) -> bool:
    """False when it is as wanted already; else the one who acts may not."""
    if as_wanted.exists():
        return False
    raise NotAllowed(f"{by} may not {what}: ask an owner.")
