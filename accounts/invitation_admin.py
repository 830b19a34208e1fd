"""Invitations to send, repeat and take back; and who viewed the portal as whom, to look at."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from accounts import invitations
from accounts.access import actor
from accounts.models import Impersonation, Invitation, User
from accounts.roles import Role, manageable_by
from accounts.sites import site_choices
from accounts.stepup import StepUpForms, step_up_required
from minefarm.lib.records import GrowingRecordAdmin, RecordAdmin, column

STATE_LABELS = {"open": "info", "accepted": "success", "expired": "default", "revoked": "danger"}


class InviteForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """`actor` is the signed-in person, set on the class by the admin."""

    actor: User
    role = forms.ChoiceField(choices=Role.choices, initial=Role.CLIENT, widget=UnfoldAdminSelectWidget)
    site_ids = forms.TypedMultipleChoiceField(
        label="Limited to sites",
        choices=site_choices,
        coerce=int,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="For staff of role user, none: all sites. For guests, none: no site. Clients see what is theirs.",
    )

    class Meta:
        model = Invitation
        fields = ("email", "role", "site_ids", "access_start_date", "access_end_date")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            self.fields["role"].choices = [(role.value, role.label) for role in manageable_by(self.actor.role)]  # type: ignore[attr-defined]  # of a ChoiceField

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                invitations.refuse_unfit(
                    cleaned["email"],
                    Role(cleaned["role"]),
                    site_ids=cleaned["site_ids"],
                    start=cleaned["access_start_date"],
                    end=cleaned["access_end_date"],
                )
            except ValidationError as error:
                self.add_error(None, error)
        return cleaned


@admin.register(Invitation)
class InvitationAdmin(StepUpForms, RecordAdmin):
    form = InviteForm
    list_display = ("email", "role", "state_label", "invited_by", "created_at", "expires_at")
    list_select_related = ("invited_by",)
    search_fields = ("email",)
    search_help_text = "E-mail"
    fields = ("email", "role", "site_ids", "access_start_date", "access_end_date")
    actions = ("send_again", "take_back")

    @column("state", label=STATE_LABELS)
    def state_label(self, invitation: Invitation) -> tuple[str, str]:
        return invitation.state, invitation.state

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor(request).may("user:invite")

    def has_invite_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("user:invite")

    def get_form(self, request: HttpRequest, obj: Invitation | None = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.actor = actor(request)
        return form

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        """Only ever a new one. The mail leaves before the admin's transaction ends, for it fails more often than the commit."""
        made, secret = invitations.invite(
            obj.email,
            Role(obj.role),
            site_ids=form.cleaned_data["site_ids"],
            start=obj.access_start_date,
            end=obj.access_end_date,
            by=actor(request),
        )
        obj.pk = made.pk
        self._mail(request, made, secret)

    @admin.action(description="Send again, with a new link", permissions=["invite"])
    @step_up_required
    def send_again(self, request: HttpRequest, chosen: "QuerySet[Invitation]") -> None:
        for invitation in chosen:
            try:
                secret = invitations.renew_invitation(invitation, by=actor(request))
            except invitations.InvitationGone:
                messages.warning(request, f"{invitation.email}: accepted or taken back, so nothing was sent.")
            else:
                self._mail(request, invitation, secret)

    @admin.action(description="Take back", permissions=["invite"])
    def take_back(self, request: HttpRequest, chosen: "QuerySet[Invitation]") -> None:
        taken = sum(invitations.revoke_invitation(invitation, by=actor(request)) for invitation in chosen)
        messages.success(request, f"{taken} taken back; their links are of no use any more.")

    def _mail(self, request: HttpRequest, invitation: Invitation, secret: str) -> None:
        try:
            invitations.mail_link(invitation, secret, origin=f"{request.scheme}://{request.get_host()}")
        except (invitations.MailFailed, ValidationError) as error:
            messages.error(request, f"{error} Then choose “Send again”.")
        else:
            messages.success(request, f"Mailed to {invitation.email}; the link is good for 72 hours.")


@admin.register(Impersonation)
class ImpersonationAdmin(GrowingRecordAdmin):
    list_display = ("started_at", "by_user", "as_user", "reason", "ended_at")
    list_select_related = ("by_user", "as_user")
    search_fields = ("by_user__email", "as_user__email", "reason")
    search_help_text = "E-mail or reason"
