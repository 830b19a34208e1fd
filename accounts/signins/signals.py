"""What a new second factor or password means for sessions that began before it."""

from typing import Any

from allauth.account.signals import password_reset
from allauth.mfa.signals import authenticator_added
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from allauth.usersessions.models import UserSession
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from accounts.signins.devices import remember_device


@receiver(authenticator_added, dispatch_uid="accounts.end_weaker_sessions")
def end_weaker_sessions(request: HttpRequest, user: User, **_kwargs: Any) -> None:
    """They never gave the code."""
    end_other_sessions(request, user)


@receiver(password_reset, dispatch_uid="accounts.after_reset")
def after_reset(request: HttpRequest, user: User, **_kwargs: Any) -> None:
    """All sessions end; and who reads the person's mail is at a device that we may know from now on."""
    for session in UserSession.objects.filter(user=user):
        session.end()
    remember_device(request, user.email)
