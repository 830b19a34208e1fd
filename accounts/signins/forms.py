"""The forms in front of the door. Bad form is an attempt as well, and leaves its line in the trail."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm, LoginForm, ReauthenticateForm, ResetPasswordForm
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm as ReauthenticateByCodeForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from accounts.models import Outcome
from accounts.second_factor import take_code
from accounts.signins.hashing import hashing_turn, is_too_long
from accounts.signins.mail import request_reset_link
from accounts.signins.trail import record_attempt

WRONG = "email_password_mismatch"


class SignInForm(LoginForm):
    def clean(self) -> dict[str, Any] | None:
        if self._errors:
            record_attempt(self.request, Outcome.MALFORMED, typed=self.data.get("login"))
            return dict(self.cleaned_data)
        if is_too_long(self.cleaned_data["password"]):  # nobody's password, so nothing is hashed
            record_attempt(self.request, Outcome.MALFORMED, typed=self.cleaned_data["login"])
            raise get_adapter().validation_error(WRONG)
        cleaned: dict[str, Any] | None = super().clean()
        return cleaned

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        response: HttpResponse = super().login(request, redirect_url)
        if not request.user.is_authenticated:  # on to the second factor
            record_attempt(request, Outcome.SECOND_FACTOR_ASKED, typed=self.user.email, user=self.user)
        return response


class SecondFactorForm(AuthenticateForm):
    def clean_code(self) -> str:
        try:
            code = take_code(self.user, super().clean_code(), self.authenticator)
        except ValidationError as error:
            throttled = error.code == "too_many_login_attempts"
            outcome = Outcome.SECOND_FACTOR_THROTTLED if throttled else Outcome.SECOND_FACTOR_FAILED
            record_attempt(self.request, outcome, typed=self.user.email, user=self.user)
            raise
        return code

    @property
    def request(self) -> HttpRequest:
        request: HttpRequest = get_adapter().request
        return request


class ConfirmByCodeForm(ReauthenticateByCodeForm):
    def clean_code(self) -> str:
        return take_code(self.user, super().clean_code(), self.authenticator)


class NewSecondFactorForm(ActivateTOTPForm):
    def clean_code(self) -> str:
        return take_code(self.user, super().clean_code(), Authenticator(type=Authenticator.Type.TOTP))


class ConfirmByPasswordForm(ReauthenticateForm):
    def clean_password(self) -> str:
        if is_too_long(self.cleaned_data["password"]):
            raise get_adapter().validation_error("incorrect_password")
        return str(super().clean_password())


class NewPasswordForm(ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        if is_too_long(self.cleaned_data.get("oldpassword", "")):
            raise get_adapter().validation_error("enter_current_password")
        with hashing_turn():
            return str(super().clean_oldpassword())


class ResetLinkForm(ResetPasswordForm):
    """Asks for a link. Whether the address has an account is looked up by a worker, so the answer cannot tell."""

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    def save(self, request: HttpRequest, **_kwargs: Any) -> str:
        email = str(self.cleaned_data["email"])
        request_reset_link(email, origin=f"{request.scheme}://{request.get_host()}")
        return email
