"""Access that ends soon: announced a week and a day before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.mail import send_mail
from django.db import transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string

from accounts.models import User, UserAccess, UserStatus
from accounts.roles import Role
from events.handlers import handler
from events.models import OutboxEvent
from events.outbox import publish
from minefarm.lib.clock import database_now

WARN_DAYS = (1, 7)

Window = tuple[datetime | None, datetime | None]


def covered_until(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When somebody who is in at `now` falls out, through windows [start, end) that follow or overlap each other.

    None: never; `now` itself: not in.
    """
    end = now
    for start, stop in sorted(windows, key=lambda window: (window[0] is not None, window[0] or now)):
        if start is not None and start > end:
            break
        if stop is None:
            return None
        end = max(end, stop)
    return end


@dataclass(frozen=True, slots=True)
class Expiry:
    """Somebody whose access ends within so many days."""

    user: User
    ends_at: datetime
    days: int


def warnings_due(now: datetime) -> list[Expiry]:
    """The nearest warning of everybody whose access ends within a week, sent before or not."""
    soon = UserAccess.objects.effective().filter(access_end_date__lte=Now() + timedelta(days=max(WARN_DAYS)))
    people = User.objects.filter(status=UserStatus.ACTIVE, pk__in=soon.values("user")).exclude(role=Role.OWNER)
    windows: dict[UUID, list[Window]] = {}
    grants = UserAccess.objects.filter(user__in=people, revoked_at=None)
    for user_id, start, end in grants.values_list("user_id", "access_start_date", "access_end_date"):
        windows.setdefault(user_id, []).append((start, end))
    due = []
    for user in people:
        end = covered_until(windows[user.pk], now)
        days = [days for days in WARN_DAYS if end is not None and now < end <= now + timedelta(days=days)]
        if end is not None and days:
            due.append(Expiry(user, end, min(days)))
    return due


@transaction.atomic
def announce(warning: Expiry) -> bool:
    """Publish the warning; False when that was done before."""
    user = warning.user
    published = publish(
        "access.expiring",
        about=f"user:{user.pk}",
        client_id=user.pk if user.role == Role.CLIENT else None,
        dedupe_key=f"access.expiring:{user.pk}:{warning.ends_at.isoformat()}:{warning.days}",
        user_id=str(user.pk),
        ends_at=warning.ends_at.isoformat(),
        days=warning.days,
    )
    return published is not None


def warn_expiring() -> int:
    """Publish every warning that is due and was not published before; how many."""
    return sum(announce(warning) for warning in warnings_due(database_now()))


@handler("access.expiring", consumer="access warnings")
def mail_warning(event: OutboxEvent) -> None:
    """Tell the person; the outbox repeats it until the mail server takes it."""
    user = User.objects.get(pk=event.payload["user_id"])
    told = {"name": str(user), "ends_at": datetime.fromisoformat(event.payload["ends_at"])}
    send_mail(
        "Your access to MineFarm ends soon",
        render_to_string("accounts/mail/expiring.txt", told),
        None,
        [user.email],
    )
