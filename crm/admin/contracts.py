"""Contracts in the admin, with their terms; terms that were billed are looked at, others written."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, TextField
from django.forms import ModelForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.access import actor
from crm.contracts import billed_until, check_end, check_first_terms, check_version, is_billed
from crm.models import Contract, ContractVersion, UsageSnapshot
from crm.states import Pricing
from minefarm.lib.records import UNKNOWN, FarmAdmin, RecordAdmin, column

FIXED = ("client", "site", "starts_on")


class ContractForm(ModelForm):  # type: ignore[type-arg]  # Django takes no parameters here at run time
    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if self.instance.pk and "ends_on" in found:
            self.instance.ends_on = found["ends_on"]
            check_end(self.instance)
        return found


class VersionForm(ModelForm):  # type: ignore[type-arg]  # likewise
    """Terms that were billed cannot be edited, whatever is sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and is_billed(self.instance):
            for field in self.fields.values():
                field.disabled = True


class VersionFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # likewise
    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = []
        for form in self.forms:
            if not form.cleaned_data:
                continue
            if form.cleaned_data.get("DELETE"):
                if form.instance.pk and is_billed(form.instance):
                    raise ValidationError("Terms that were billed stay: add a version from a later day.")
                continue
            kept.append(form.instance.valid_from)
            if form.has_changed():
                form.instance.contract = self.instance
                try:
                    check_version(form.instance)
                except ValidationError as refused:
                    form.add_error(None, refused)
        check_first_terms(self.instance, kept)


class VersionInline(StackedInline):
    model = ContractVersion
    form = VersionForm
    formset = VersionFormSet
    extra = 0
    min_num = 1
    ordering = ("valid_from",)
    formfield_overrides: Any = {TextField: {"widget": UnfoldAdminTextInputWidget}}
    fields = (
        ("valid_from", "pricing", "currency"),
        ("rate_per_kwh", "flat_per_miner", "revenue_share_pct"),
        ("rated_power_uplift_pct", "minimum_kw", "minimum_per_month"),
        ("deposit", "setup_fee", "late_fee"),
        ("uptime_guarantee_pct", "sla_credit_cap_pct"),
        ("curtailment_excused", "curtailment_share_pct"),
        ("tax_pct", "due_days"),
        "terms",
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "terms":
            kwargs["widget"] = UnfoldAdminTextareaWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(Contract)
class ContractAdmin(FarmAdmin):
    form = ContractForm
    list_display = ("number", "client", "site", "now", "starts_on", "ends_on")
    list_filter = ("site",)
    list_select_related = ("client", "site")
    search_fields = ("number", "client__email", "client__name")
    autocomplete_fields = ("client",)
    fields = ("number", "client", "site", "deal", "starts_on", "ends_on")
    raw_id_fields = ("deal",)
    inlines = (VersionInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Contract]":
        return Contract.objects.for_user(actor(request)).prefetch_related("versions")

    def get_readonly_fields(self, request: HttpRequest, obj: Contract | None = None) -> tuple[str, ...]:
        return FIXED if obj and billed_until(obj) else ()

    @column("terms")
    def now(self, contract: Contract) -> str:
        versions = list(contract.versions.all())  # newest first
        return Pricing(versions[0].pricing).label if versions else UNKNOWN

    def save_model(self, request: HttpRequest, obj: Contract, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = actor(request)
        super().save_model(request, obj, form, change)


@admin.register(UsageSnapshot)
class UsageSnapshotAdmin(RecordAdmin):
    list_display = ("month", "contract", "client", "content_hash", "created_at")
    list_select_related = ("contract", "client")
    search_fields = ("contract__number", "content_hash")
    fields = ("contract", "client", "month", "starts_at", "ends_at", "content_hash", "inputs", "created_at")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[UsageSnapshot]":
        return UsageSnapshot.objects.for_user(actor(request))
