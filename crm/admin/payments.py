"""Payments to look at, and how customers want to be named on invoices."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.access import actor
from accounts.models import User
from accounts.roles import Role
from crm.models import BillingDetails, Payment
from minefarm.lib.records import FarmAdmin, RecordAdmin


@admin.register(Payment)
class PaymentAdmin(RecordAdmin):
    list_display = ("received_on", "invoice", "amount", "method", "reference", "note", "recorded_by")
    list_filter = (("received_on", RangeDateFilter), "method")
    list_filter_submit = True
    list_select_related = ("invoice", "recorded_by")
    search_fields = ("invoice__invoice_number", "reference")
    search_help_text = "Number of the invoice, or reference"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Payment]":
        return Payment.objects.for_user(actor(request))


@admin.register(BillingDetails)
class BillingDetailsAdmin(FarmAdmin):
    list_display = ("client", "company", "tax_id", "email")
    list_select_related = ("client",)
    search_fields = ("client__email", "company")
    fields = ("client", "company", "address", "tax_id", "email")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = User.objects.filter(role=Role.CLIENT)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "address":
            kwargs["widget"] = UnfoldAdminTextareaWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)
