"""Pages of invitations and of viewing as a client."""

from typing import Any

from allauth.account.adapter import get_adapter
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import invitations, viewing
from accounts.access import actor, permission_required
from accounts.invitations import InvitationGone
from accounts.models import User
from accounts.rls import outside_the_wall
from accounts.roles import VIEWABLE_ROLES
from accounts.signins.hashing import hashing_turn
from accounts.stepup import step_up_required


class AcceptForm(forms.Form):
    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password1 = forms.CharField(
        label="Password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    password2 = forms.CharField(
        label="Password again", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        first, second = cleaned.get("password1"), cleaned.get("password2")
        if first and second and first != second:
            self.add_error("password2", "The two passwords differ.")
        elif first:
            try:
                validate_password(first, User(email=self.email, name=cleaned.get("name")))
            except ValidationError as error:
                self.add_error("password1", error)
        return cleaned


@outside_the_wall("the link is for whoever opens it, signed in or not")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept_invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Name and password make the account and sign in; a link that is of no use any more gets one page, whatever the reason."""
    try:
        invitation = invitations.find(secret)
        form = AcceptForm(request.POST or None, email=invitation.email)
        if request.method == "POST" and form.is_valid():
            with hashing_turn():
                user = invitations.accept_invitation(
                    secret, name=form.cleaned_data["name"].strip(), password=form.cleaned_data["password1"]
                )
            if user.has_access:
                get_adapter(request).login(request, user)
            else:
                messages.info(request, "Your account is made. You can sign in as soon as your access begins.")
            return redirect("home")
    except InvitationGone:
        return render(request, "accounts/invitation_gone.html", status=410)
    return render(request, "accounts/invitation.html", {"form": form, "invitation": invitation})


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        help_text="It stays on record, with your name and the times.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("user:viewas")
@step_up_required
def view_as(request: HttpRequest, pk: Any) -> HttpResponse:
    """Ask for the reason, then show the portal as the client or guest sees it."""
    viewed = get_object_or_404(User.objects.with_standing().filter(role__in=VIEWABLE_ROLES), pk=pk)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            viewing.begin(request, viewed, reason=form.cleaned_data["reason"], by=actor(request))
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return redirect("home")
    return render(request, "accounts/view_as.html", {"form": form, "viewed": viewed})


@login_required
@require_POST
def stop_viewing(request: HttpRequest) -> HttpResponse:
    viewing.stop(request)
    return redirect("home")
