"""What the page of a person says about their access: grants to add and revoke, and the sites they are limited to."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSplitDateTimeVerticalWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from accounts import services
from accounts.access import actor
from accounts.models import User, UserAccess
from accounts.roles import Role, may_manage
from minefarm.lib.records import UNKNOWN, column

GRANTED = ("access_start_date", "access_end_date", "reason")


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """A new grant, or one that may be revoked but not changed."""

    revoke = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = UserAccess
        fields = GRANTED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = self.instance.pk is not None
        for name in GRANTED:
            self.fields[name].disabled = kept
        self.fields["reason"].required = not kept
        self.fields["revoke"].disabled = not kept or self.instance.revoked_at is not None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk is None and self.has_changed():
            if self.instance.user.role == Role.OWNER:
                raise ValidationError("Owners have access at all times: change the role first.")
            end = cleaned.get("access_end_date")
            if end is not None and end <= timezone.now():
                self.add_error("access_end_date", "This is over already: choose an end that is to come.")
        return cleaned


class GrantInline(TabularInline):
    model = UserAccess
    fk_name = "user"
    form = GrantForm
    extra = 1
    can_delete = False
    fields = (*GRANTED, "state", "revoke")
    readonly_fields = ("state",)
    formfield_overrides = {DateTimeField: {"widget": UnfoldAdminSplitDateTimeVerticalWidget}}
    ordering = ("-id",)
    verbose_name_plural = "Access: from and until in UTC; without any line the setting ACCESS_WITHOUT_GRANT decides"

    @column("state")
    def state(self, grant: UserAccess) -> str:
        by = grant.revoked_by or grant.granted_by
        return f"{state_of(grant)}{f', by {by}' if by else ''}"

    def has_add_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return may_grant(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return may_grant(request, obj)


def state_of(grant: UserAccess) -> str:
    now = timezone.now()
    if grant._state.adding:  # noqa: SLF001  Django's documented mark of an unsaved row
        return UNKNOWN
    if grant.revoked_at is not None:
        return "revoked"
    if grant.access_start_date is not None and grant.access_start_date > now:
        return "to come"
    return "holds" if grant.access_end_date is None or grant.access_end_date > now else "over"


def may_grant(request: HttpRequest, user: User | None) -> bool:
    by = actor(request)
    return by.may("useraccess:add") and (user is None or may_manage(by.role, user.role))


def save_grants(formset: Any, *, by: User) -> None:
    """Add what is new in the inline, revoke what is ticked."""
    formset.save(commit=False)  # sets what the admin's history line is made of
    for grant in formset.new_objects:
        services.grant_access(
            formset.instance,
            start=grant.access_start_date,
            end=grant.access_end_date,
            reason=grant.reason or "",
            by=by,
        )
    for form in formset.initial_forms:
        if form.cleaned_data.get("revoke"):
            services.revoke_access(form.instance, by=by)
