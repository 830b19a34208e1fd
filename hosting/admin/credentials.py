"""Logins of machines: a password goes in and never comes out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.access import actor
from accounts.stepup import step_up
from hosting.admin.filters import SiteFilter
from hosting.models import Miner, MinerCredential
from minefarm.lib.records import FarmAdmin, age_with_moment, column

LONGEST = 200


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    password = forms.CharField(
        required=False,
        strip=False,
        max_length=LONGEST,
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="It is not shown again.",
    )
    no_password = forms.BooleanField(required=False, help_text="The machine's account has no password.")

    class Meta:
        model = MinerCredential
        fields = ("site", "make", "miner", "user")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.fields["password"].help_text = "Empty keeps the one that is there. It is not shown."

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("password") and cleaned.get("no_password"):
            self.add_error("no_password", "Either a password or none.")
        elif self.instance.pk is None and not cleaned.get("password") and not cleaned.get("no_password"):
            self.add_error("password", "Enter the password, or say that there is none.")
        return cleaned

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data["password"] or self.cleaned_data["no_password"]:
            self.instance.set_password(self.cleaned_data["password"])
        return super().save(commit)


@admin.register(MinerCredential)
@method_decorator(sensitive_post_parameters("password"), name="changeform_view")
class MinerCredentialAdmin(FarmAdmin):
    form = CredentialForm
    list_display = ("__str__", "site", "make", "miner", "user", "changed")
    list_filter = (("site", SiteFilter), ("make", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("site", "miner")
    search_fields = ("site__name", "miner__serial_number")
    search_help_text = "Site or serial"
    raw_id_fields = ("miner",)
    fieldsets = (
        (None, {"fields": ("site", "make", "miner")}),
        ("Login", {"fields": ("user", "password", "no_password")}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MinerCredential]":
        """People limited to sites see the logins of those."""
        rows = MinerCredential.objects.all()
        sites = actor(request).site_ids
        if sites is None:
            return rows
        return rows.filter(site__in=sites) | rows.filter(miner__in=Miner.objects.for_user(actor(request)))

    @column("changed", ordering="updated_at")
    def changed(self, credential: MinerCredential) -> SafeString | str:
        return age_with_moment(credential.updated_at, timezone.now())

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._admit(request)
        answer = step_up(request)
        response: HttpResponse = super().changeform_view(request, *args, **kwargs) if answer is None else answer
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._admit(request)
        answer = step_up(request)
        response: HttpResponse = super().delete_view(request, *args, **kwargs) if answer is None else answer
        return response

    def _admit(self, request: HttpRequest) -> None:
        """Whoever may not come in is not asked for a proof first."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: MinerCredential, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)

    def get_actions(self, request: HttpRequest) -> Any:
        """Deleting many at once has no page to step up at."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
