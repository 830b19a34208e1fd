"""What allauth asks us: who signs up, whose password it is, where a request comes from, what is mailed."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import Outcome, User
from accounts.signins.devices import remember_device
from accounts.signins.door import check_credentials
from accounts.signins.hashing import hashing_turn, password_fits
from accounts.signins.mail import mail_notice
from accounts.signins.trail import clean_agent, record_attempt
from accounts.stepup import has_stepped_up
from minefarm.lib.network import client_address

# What is told to the owner of the account, by the template that allauth would have mailed.
NOTICES = {
    "account/email/password_reset": "your password was set anew by a mailed link",
    "account/email/password_changed": "your password was changed",
    "account/email/password_set": "a password was set for your account",
    "mfa/email/totp_activated": "a second factor was added to your account",
    "mfa/email/totp_deactivated": "the second factor was removed from your account",
    "mfa/email/recovery_codes_generated": "new recovery codes were made for your account",
}


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are made by staff."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or "::"  # a socket without addresses

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Its refusals, TooManyTries and HashersBusy, become pages in the PleaseWait middleware."""
        return check_credentials(request, email=credentials["email"], password=credentials["password"])

    def reauthenticate(self, user: User, password: str) -> bool:
        """Somebody who is in already; allauth counts these tries by person, and what fails is in the trail."""
        fits = password_fits(user, password)
        if not fits:
            record_attempt(context.request, Outcome.NOT_CONFIRMED, typed=user.email, user=user)
        return fits

    def is_reauthentication_required(self, *, app: str, **_kwargs: Any) -> bool:
        """For allauth's own dangerous pages: the rule of accounts/stepup.py."""
        return not has_stepped_up(context.request)

    def set_password(self, user: User, password: str) -> None:
        with hashing_turn():
            super().set_password(user, password)

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        record_attempt(request, Outcome.OK, typed=user.email, user=user)
        remember_device(request, user.email)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Disabled between the password and the code: back to the start, without a word about it."""
        return redirect("account_login")

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        mail_notice(
            email or user.email,
            NOTICES.get(template_prefix, "your account was changed"),
            address=client_address(self.request),
            device=clean_agent(self.request),
        )

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account_security")
