"""People in the admin, and the admin's front door: staff sign in where everybody does."""

from typing import Any

import allauth.account.admin  # noqa: F401  registers what is unregistered below
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as AccountAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.forms import AdminPasswordChangeForm

import accounts.signins.admin  # noqa: F401  the trail and the sessions
from accounts import invitation_admin, services, token_admin  # noqa: F401  register their pages
from accounts.access import actor
from accounts.forms import ChangeAccountForm, NewAccountForm
from accounts.models import User, UserAccess, UserStatus
from accounts.person_admin import GrantInline, save_grants
from accounts.roles import VIEWABLE_ROLES, Role, may_manage
from accounts.signins.views import the_one_door
from accounts.sites import site_choices
from accounts.stepup import StepUpForms, step_up
from minefarm.lib.records import UNKNOWN, FarmAdmin, column

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
class UserAdmin(StepUpForms, AccountAdmin, FarmAdmin):  # type: ignore[type-arg]  # generic in the stubs only
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
    readonly_fields = ("last_login", "created_at", "updated_at", "portal")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("What they may do", {"fields": ("role", "status", "sites", "role_id", "portal")}),
        ("Dates", {"fields": ("last_login", "created_at", "updated_at")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "role", "status", "password1", "password2")}),)

    inlines = (GrantInline,)

    @column("limited to sites")
    def sites(self, user: User) -> str:
        """For those who may look at the person and change nothing."""
        names = dict(site_choices())
        return ", ".join(names.get(site_id, str(site_id)) for site_id in sorted(user.site_ids or ())) or UNKNOWN

    @column("the portal, as they see it")
    def portal(self, user: User) -> SafeString | str:
        if user.role not in VIEWABLE_ROLES:
            return UNKNOWN
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">View as {}</a>',
            reverse("view_as", args=[user.pk]),
            user,
        )

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

    def get_inlines(self, request: HttpRequest, obj: User | None = None) -> Any:
        return self.inlines if obj is not None else ()

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            giver = actor(request).role
            kwargs["choices"] = [choice for choice in Role.choices if may_manage(giver, choice[0])]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Each kind of change through its own verb, so that the admin is held to what everybody is held to."""
        by = actor(request)
        if not change:
            super().save_model(request, obj, form, change)
            return
        plain = [name for name in form.changed_data if name in {"email", "name", "role_id"}]
        if plain:
            obj.save(update_fields=[*plain, "updated_at"])
        if "status" in form.changed_data:
            verb = services.enable_user if obj.status == UserStatus.ACTIVE else services.disable_user
            verb(obj, by=by)
        if "role" in form.changed_data:
            services.change_role(obj, Role(obj.role), by=by)
        if "sites" in form.changed_data:
            services.limit_to_sites(obj, form.cleaned_data["sites"], by=by)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is UserAccess:
            save_grants(formset, by=actor(request))
        else:
            super().save_formset(request, form, formset, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002  Django's name
        refusal = step_up(request) if self.has_change_permission(request) else None
        return refusal or super().user_change_password(request, id, form_url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """An owner's account, password included, is changed by owners alone."""
        if obj is not None and not may_manage(actor(request).role, obj.role):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Accounts are disabled, never deleted: what they did stays on record."""
        return False
