"""Site tokens: made, shown once, revoked. For owners and admins, who confirm that it is them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.stepup import step_up_required
from hosting.edge.tokens import make_site_token, revoke_site_token
from hosting.models import Site, SiteToken
from minefarm.lib.records import RecordAdmin, age_with_moment, column

STATE_LABELS = {"active": "success", "revoked": "danger"}


class NewTokenForm(forms.Form):
    """Addresses are typed as a list with commas."""

    site = forms.ModelChoiceField(Site.objects.all(), widget=UnfoldAdminSelectWidget)
    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget, help_text="Where the agent runs.")
    addresses = forms.CharField(
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Networks it may be used from, such as 192.0.2.0/24, with commas between; empty: from anywhere.",
    )

    def clean_addresses(self) -> list[str]:
        return [text for text in self.cleaned_data["addresses"].replace(",", " ").split() if text]

    def refuse(self, error: ValidationError) -> None:
        self.add_error(None, error)


@admin.register(SiteToken)
class SiteTokenAdmin(RecordAdmin):
    list_display = ("name", "site", "prefix", "state_label", "last_used", "created_by", "created_at")
    list_select_related = ("site", "created_by")
    search_fields = ("name", "site__name", "prefix")
    search_help_text = "Name, site, or the start of a token that was found somewhere"
    fields = (
        "name",
        "site",
        "prefix",
        "addresses",
        "created_by",
        "created_at",
        "last_used_at",
        "revoked_at",
        "revoked_by",
    )
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor(request).has_perm("hosting.add_sitetoken")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return actor(request).has_perm("hosting.change_sitetoken")

    @column("state", label=STATE_LABELS)
    def state_label(self, token: SiteToken) -> tuple[str, str]:
        return token.state, token.state

    @column("last used", ordering="last_used_at")
    def last_used(self, token: SiteToken) -> SafeString | str:
        return age_with_moment(token.last_used_at, timezone.now())

    @step_up_required
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTokenForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                token, secret = make_site_token(**form.cleaned_data, by=actor(request))
            except ValidationError as error:
                form.refuse(error)
            else:
                self.log_addition(request, token, "Made.")
                return self._show_secret(request, token, secret)
        context = {**self._context(request), "title": "Add site token", "form": form}
        return TemplateResponse(request, "admin/hosting/sitetoken/add.html", context)

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.model._meta}  # noqa: SLF001  the name admin templates know it by

    def _show_secret(self, request: HttpRequest, token: SiteToken, secret: str) -> HttpResponse:
        """The one time that it is shown: as the answer to the change, kept neither here nor in a cache."""
        context = {**self._context(request), "title": "Site token", "token": token, "secret": secret}
        response = TemplateResponse(request, "admin/hosting/sitetoken/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke", permissions=["revoke"])
    @step_up_required
    def revoke(self, request: HttpRequest, tokens: "QuerySet[SiteToken]") -> None:
        revoked = [token for token in tokens if revoke_site_token(token, by=actor(request))]
        for token in revoked:
            self.log_change(request, token, "Revoked.")
        self.message_user(
            request, f"{len(revoked)} revoked; agents that use them are refused from now on.", messages.SUCCESS
        )
