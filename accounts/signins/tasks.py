"""Celery's doors of signing in. Imported by the app's ready(), so that workers know them."""

from smtplib import SMTPException
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.usersessions.models import UserSession
from celery import Task, shared_task
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.mail import send_mail
from django.db import connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from accounts.signins.door import find_user
from events.periodic import once_per_period


@shared_task(autoretry_for=(SMTPException, OSError), retry_backoff=5, retry_backoff_max=50, max_retries=8)
def mail_reset_link(email: str, origin: str) -> bool:
    """Whether there was an active account to send the link to."""
    user = find_user(email)
    if user is None or not user.is_active:
        return False
    key = default_token_generator.make_token(user)
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})
    body = render_to_string("account/mail/reset_link.txt", {"name": str(user), "url": origin + path})
    send_mail("A new password for MineFarm", body, None, [user.email])
    return True


@shared_task(autoretry_for=(SMTPException, OSError), retry_backoff=5, retry_backoff_max=50, max_retries=8)
def mail_notice(to: str, sentence: str, address: str | None, device: str | None) -> None:
    told = {"sentence": sentence, "address": address, "device": device, "at": timezone.now()}
    send_mail(f"MineFarm: {sentence}", render_to_string("account/mail/notice.txt", told), None, [to])


@shared_task
@once_per_period
def clear_old_sessions() -> None:
    """Sessions whose time is over."""
    SessionStore.clear_expired()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()


def run_here(task: "Task[Any, Any]", *arguments: Any) -> None:
    """In a thread of this process, without the broker."""
    try:
        task.run(*arguments)
    finally:
        connection.close()
