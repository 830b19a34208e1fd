"""The portal's page of a person's API tokens."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import actor
from accounts.api.throttles import Allowance
from accounts.models import ApiToken
from accounts.models.tokens import SCOPES
from accounts.stepup import confirmation, has_stepped_up, step_up
from accounts.tokens import make_token, revoke_token

DAYS = {7: "7 days", 30: "30 days", 90: "90 days", 365: "One year"}
SHOWN_TOKENS = 100


class NewTokenForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        help_text="Where it will be used, such as “monitoring”.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=list(SCOPES.items()),
        initial=["read"],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    days = forms.TypedChoiceField(
        label="Valid for",
        choices=list(DAYS.items()),
        coerce=int,
        initial=90,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    addresses = forms.CharField(
        label="Only from these addresses",
        required=False,
        max_length=2000,
        help_text="Addresses or networks such as 192.0.2.0/24, one on each line. Empty: from anywhere.",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2, "spellcheck": "false"}),
    )

    def asked(self) -> dict[str, Any]:
        """Arguments of `make_token`."""
        return {
            "name": self.cleaned_data["name"],
            "scopes": self.cleaned_data["scopes"],
            "expires_at": timezone.now() + timedelta(days=self.cleaned_data["days"]),
            "addresses": self.cleaned_data["addresses"].replace(",", " ").split(),
        }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def token_list(request: HttpRequest) -> HttpResponse:
    """The tokens and a form for a new one; the answer to the form is the only page that ever shows a secret."""
    if request.method == "POST" and (refusal := step_up(request)):
        return refusal
    form = NewTokenForm(request.POST or None)
    made, secret, status = None, None, 200
    if request.method == "POST" and form.is_valid():
        allowance = Allowance("new_token", actor(request).pk)
        if not allowance.take():
            form.add_error(None, f"Too many new tokens. Try again in {allowance.left_s // 60 + 1} minutes.")
            status = 429
        else:
            made, secret = make_or_explain(request, form)
    context = {
        "nav": "tokens",
        "form": NewTokenForm() if made else form,
        "made": made,
        "secret": secret,
        "confirmation": None if has_stepped_up(request) else confirmation(request),
        "tokens": ApiToken.objects.for_user(actor(request))[:SHOWN_TOKENS],
    }
    return render(request, "accounts/tokens.html", context, status=status)


def make_or_explain(request: HttpRequest, form: NewTokenForm) -> tuple[ApiToken | None, str | None]:
    try:
        return make_token(**form.asked(), by=actor(request))
    except ValidationError as error:
        form.add_error(None, error if not hasattr(error, "error_dict") else error.messages)
        return None, None


@require_POST
@login_required
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken.objects.for_user(actor(request)), pk=pk)
    if revoke_token(token, by=actor(request)):
        messages.success(request, f"{token.name} is revoked: programs that use it are refused from now on.")
    return redirect("tokens")
