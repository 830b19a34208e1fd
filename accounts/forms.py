"""Accounts as staff make and change them in the admin."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.models import User, UserStatus
from accounts.roles import LIMITABLE_ROLES, Role, may_manage
from accounts.sites import site_choices


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """What holds for adding and changing; `actor` is the signed-in person, set on the class by the admin."""

    actor: User

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).strip().lower()

    def clean_role(self) -> str:
        role = str(self.cleaned_data["role"])
        if not may_manage(self.actor.role, role):
            raise ValidationError("Only an owner can make somebody an owner.")
        return role


class NewAccountForm(AccountForm, UserCreationForm):
    """A new account with a password, asked for twice."""

    usable_password = None

    class Meta:
        model = User
        fields = ("email", "name", "role", "status")


class ChangeAccountForm(AccountForm, UserChangeForm):
    sites = forms.TypedMultipleChoiceField(
        label="Limited to sites",
        choices=site_choices,
        coerce=int,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="For staff of role user, none: all sites. For guests, none: no site. Clients see what is theirs.",
    )

    class Meta:
        model = User
        fields = ("email", "name", "role", "status", "role_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sites" in self.fields:
            self.fields["sites"].initial = sorted(self.instance.standing.limits)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned and cleaned.get("sites") and cleaned.get("role") not in LIMITABLE_ROLES:
            self.add_error("sites", "Only staff of role user, and guests, are limited to sites.")
        stays = cleaned and cleaned.get("role") == Role.OWNER and cleaned.get("status") == UserStatus.ACTIVE
        if not stays and self.is_last_owner():
            raise ValidationError("This is the last active owner: make somebody else an owner first.")
        return cleaned

    def is_last_owner(self) -> bool:
        """Locks every active owner until the admin's transaction ends, so that two owners cannot demote each other."""
        owners = User.objects.filter(role=Role.OWNER, status=UserStatus.ACTIVE).order_by("pk")
        return list(owners.select_for_update().values_list("pk", flat=True)) == [self.instance.pk]
