"""The trail of sign-ins: written by the door, read by people and staff, forgotten after a year."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import Count, Min
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from accounts.models import LoginRecord, Outcome, User
from accounts.signins.places import location_of
from minefarm.lib.network import client_address
from minefarm.lib.retention import Order, Outcome as Forgotten, Rule, mean_row_bytes, register

TABLE = "login_records"
YEAR = timedelta(days=365)
MAX_AGENT = 300
PRUNE_BATCH = 5000


def record_attempt(
    request: HttpRequest, outcome: Outcome, *, typed: str | None, user: User | None = None
) -> LoginRecord:
    """Write down one attempt; `typed` is what stood in the e-mail box and is kept only if it is an address."""
    address = client_address(request)
    success = outcome == Outcome.OK
    return LoginRecord.objects.create(
        user=user,
        email=as_address(typed),
        success=success,
        outcome=outcome,
        ip_address=address,
        location=location_of(address),
        user_agent=clean_agent(request),
        session_ref=session_ref(request.session.session_key) if success else None,
    )


def as_address(typed: str | None) -> str | None:
    text = (typed or "").strip().lower()
    try:
        validate_email(text)
    except ValidationError:
        return None
    return text


def clean_agent(request: HttpRequest) -> str | None:
    """What the browser calls itself, cut to what helps."""
    return str(request.META.get("HTTP_USER_AGENT", ""))[:MAX_AGENT] or None


def session_ref(session_key: str | None) -> str | None:
    """A name for a session that opens nothing."""
    return salted_hmac("session-ref", session_key).hexdigest()[:16] if session_key else None


def prune_login_records(*, before: datetime | None = None, batch: int = PRUNE_BATCH) -> int:
    """Forget attempts before that moment, in short transactions; returns how many.

    The database refuses to delete what is younger than a year: that stays whatever is asked.
    """
    forgotten = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL minefarm.retention = 'login_records'")
            cursor.execute(
                "DELETE FROM login_records WHERE id IN (SELECT id FROM login_records"
                " WHERE login_time < LEAST(%s, now() - interval '365 days') ORDER BY id LIMIT %s)",
                [before, batch],
            )
            deleted = int(cursor.rowcount)
            forgotten += deleted
            if deleted < batch:
                return forgotten


def forget_sign_ins(order: Order) -> Forgotten:
    before = min(order.before, order.now - YEAR)
    due = LoginRecord.objects.filter(login_time__lt=before).aggregate(rows=Count("pk"), oldest=Min("login_time"))
    rows: int = due["rows"]
    if rows and (hold := order.held(TABLE, due["oldest"], before)):
        return Forgotten(notes=(f"held: {hold.reason}",))
    if rows and not order.dry_run:
        rows = prune_login_records(before=before)
    return Forgotten(rows, round(rows * mean_row_bytes(TABLE)))


def register_rules() -> None:
    register(Rule(TABLE, lambda: settings.RETENTION_LOGIN_RECORDS_DAYS, forget_sign_ins))
