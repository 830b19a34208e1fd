"""People in the admin, and the admin's front door: staff sign in where everybody does."""

from typing import Any

import allauth.account.admin  # noqa: F401  registers what is unregistered below
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as AccountAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.forms import AdminPasswordChangeForm

import accounts.signins.admin  # noqa: F401  the trail and the sessions
from accounts import token_admin  # noqa: F401  registers its page
from accounts.access import actor
from accounts.forms import ChangeAccountForm, NewAccountForm
from accounts.models import User, UserStatus
from accounts.roles import Role
from accounts.signins.views import the_one_door
from minefarm.lib.records import FarmAdmin, column

admin.site.login = the_one_door  # type: ignore[method-assign,assignment]  # the admin has no sign-in form of its own
admin.site.unregister(Group)  # roles are a table in accounts/roles.py
admin.site.unregister(EmailAddress)  # one address per account: User.email

ROLE_LABELS = {
    Role.OWNER: "danger",
    Role.ADMIN: "warning",
    Role.USER: "info",
    Role.CLIENT: "success",
    Role.GUEST: "default",
}
STATUS_LABELS = {UserStatus.ACTIVE: "success", UserStatus.DISABLED: "danger"}


@admin.register(User)
class UserAdmin(AccountAdmin, FarmAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    form = ChangeAccountForm
    add_form = NewAccountForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "role_label", "status_label", "last_login", "created_at")
    list_filter = (("role", ChoicesDropdownFilter), ("status", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("email", "name")
    search_help_text = "E-mail or name"
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("What they may do", {"fields": ("role", "status", "role_id")}),
        ("Dates", {"fields": ("last_login", "created_at", "updated_at")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "role", "status", "password1", "password2")}),)

    @column("role", ordering="role", label=ROLE_LABELS)
    def role_label(self, user: User) -> tuple[str, str]:
        return user.role, user.get_role_display()

    @column("status", ordering="status", label=STATUS_LABELS)
    def status_label(self, user: User) -> tuple[str, str]:
        return user.status, user.get_status_display()

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.actor = actor(request)
        return form

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role" and actor(request).role != Role.OWNER:
            kwargs["choices"] = [choice for choice in Role.choices if choice[0] != Role.OWNER]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """An owner's account, password included, is changed by owners alone."""
        if obj is not None and obj.role == Role.OWNER and actor(request).role != Role.OWNER:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Accounts are disabled, never deleted: what they did stays on record."""
        return False
